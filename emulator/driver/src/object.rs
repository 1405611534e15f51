//! Handles and the objects behind them. A handle is a number that is never given out twice, so a stale or foreign
//! one is always recognised. Looking one up locks nothing when this thread has looked it up before and nothing has
//! been destroyed since.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::LocalKey;

use crate::error::Error;
use crate::live::Kind;
use crate::pointer::Handle;

/// All objects of one kind.
pub(crate) struct Table<T> {
    objects: LazyLock<RwLock<HashMap<usize, Arc<T>>>>,
    /// Counts removals: what threads remember from before the last one is void.
    removals: AtomicU64,
}

/// What one thread remembers of a table.
pub(crate) struct Memory<T> {
    removals: u64,
    slots: [Option<(usize, Arc<T>)>; 8],
}

/// Handles of all kinds come from one counter. They look like pointers but point nowhere.
static NEXT: AtomicUsize = AtomicUsize::new(0x00CA_0000_0000_0100);
const STEP: usize = 0x10;

/// Something that callers hold a handle of.
pub(crate) trait Object: Sized + Send + Sync + 'static {
    /// For the count of live objects.
    const KIND: Kind;
    /// What a bad handle of this kind is answered with.
    const INVALID: Error;
    /// The table.
    fn table() -> &'static Table<Self>;
    /// This thread's memory of it.
    fn memory() -> &'static LocalKey<RefCell<Memory<Self>>>;
}

/// Implements `Object` for a type.
macro_rules! object {
    ($type:ty, $kind:ident, $invalid:ident) => {
        impl $crate::object::Object for $type {
            const KIND: $crate::live::Kind = $crate::live::Kind::$kind;
            const INVALID: $crate::error::Error = $crate::error::Error::$invalid;
            fn table() -> &'static $crate::object::Table<Self> {
                static TABLE: $crate::object::Table<$type> = $crate::object::Table::new();
                &TABLE
            }
            fn memory()
            -> &'static std::thread::LocalKey<std::cell::RefCell<$crate::object::Memory<Self>>>
            {
                thread_local! {
                    static MEMORY: std::cell::RefCell<$crate::object::Memory<$type>> =
                        const { std::cell::RefCell::new($crate::object::Memory::new()) };
                }
                &MEMORY
            }
        }
    };
}
pub(crate) use object;

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Table {
            objects: LazyLock::new(Default::default),
            removals: AtomicU64::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<usize, Arc<T>>> {
        self.objects.read().unwrap_or_else(|e| e.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<usize, Arc<T>>> {
        self.objects.write().unwrap_or_else(|e| e.into_inner())
    }
}

impl<T> Memory<T> {
    pub(crate) const fn new() -> Self {
        Memory {
            removals: 0,
            slots: [const { None }; 8],
        }
    }

    fn slot(bits: usize) -> usize {
        (bits / STEP) % 8
    }
}

/// A new handle of any kind.
pub(crate) fn fresh<T>() -> Handle<T> {
    Handle::from_bits(NEXT.fetch_add(STEP, Ordering::Relaxed))
}

/// Makes an object known under a handle from [`fresh`].
pub(crate) fn insert<T: Object>(handle: Handle<T>, object: Arc<T>) {
    T::table().write().insert(handle.bits(), object);
    T::KIND.add();
}

/// Makes an object known under a new handle.
pub(crate) fn add<T: Object>(object: T) -> Handle<T> {
    let handle = fresh();
    insert(handle, Arc::new(object));
    handle
}

/// Ends a handle. The object lives on as long as something uses it.
pub(crate) fn remove<T: Object>(handle: Handle<T>) -> Result<Arc<T>, Error> {
    let table = T::table();
    let object = table.write().remove(&handle.bits()).ok_or(T::INVALID)?;
    table.removals.fetch_add(1, Ordering::Release);
    T::KIND.remove();
    Ok(object)
}

/// Ends the handles of all objects that `which` picks, and returns the objects.
pub(crate) fn remove_all<T: Object>(which: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
    let doomed: Vec<usize> = (T::table().read().iter())
        .filter(|(_, object)| which(object))
        .map(|(bits, _)| *bits)
        .collect();
    (doomed.into_iter())
        .filter_map(|bits| remove::<T>(Handle::from_bits(bits)).ok())
        .collect()
}

impl<T: Object> Handle<T> {
    /// The object.
    pub(crate) fn get(self) -> Result<Arc<T>, Error> {
        self.with(Arc::clone)
    }

    /// Uses the object without counting a reference: nothing that other threads see is written.
    #[inline]
    pub(crate) fn with<R>(self, f: impl FnOnce(&Arc<T>) -> R) -> Result<R, Error> {
        let removals = T::table().removals.load(Ordering::Acquire);
        T::memory().with(|memory| {
            if let Ok(known) = memory.try_borrow()
                && known.removals == removals
                && let Some((bits, object)) = &known.slots[Memory::<T>::slot(self.bits())]
                && *bits == self.bits()
            {
                return Ok(f(object));
            }
            let object = self.find()?;
            if let Ok(mut known) = memory.try_borrow_mut() {
                known.remember(removals, self.bits(), &object);
            }
            Ok(f(&object))
        })
    }

    fn find(self) -> Result<Arc<T>, Error> {
        let table = T::table().read();
        table.get(&self.bits()).cloned().ok_or(T::INVALID)
    }
}

impl<T> Memory<T> {
    fn remember(&mut self, removals: u64, bits: usize, object: &Arc<T>) {
        if self.removals != removals {
            *self = Memory::new();
            self.removals = removals;
        }
        self.slots[Self::slot(bits)] = Some((bits, object.clone()));
    }
}
