//! Contexts, the per-thread stack of current ones, and the primary context.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::event::Event;
use crate::live::Kind;
use crate::memory;
use crate::module::Module;
use crate::object::{self, object};
use crate::pointer::Handle;
use crate::stream::Stream;

/// The error that has stopped a context. Once set it stays, and every later call in the context returns it.
#[derive(Default)]
pub(crate) struct Fate(AtomicU32);

impl Fate {
    #[inline]
    pub(crate) fn check(&self) -> Outcome {
        match Error::from_code(self.0.load(Ordering::Acquire)) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Keeps the first error.
    pub(crate) fn seal(&self, error: Error) {
        let _ = (self.0).compare_exchange(0, error.code(), Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Number of `CUlimit` values.
pub(crate) const LIMITS: usize = 7;

/// A context.
pub(crate) struct Context {
    pub handle: Handle<Context>,
    pub id: u64,
    pub primary: bool,
    pub flags: AtomicU32,
    pub fate: Arc<Fate>,
    /// Its default stream.
    pub legacy: Arc<Stream>,
    pub limits: Mutex<[usize; LIMITS]>,
    pub cache_config: AtomicU32,
    pub shared_config: AtomicU32,
}

object!(Context, Contexts, INVALID_CONTEXT);

/// The device's primary context: alive while it is retained.
#[derive(Default)]
pub(crate) struct Primary {
    pub retained: u32,
    pub flags: u32,
    pub context: Option<Handle<Context>>,
}

thread_local! {
    static STACK: RefCell<Vec<Handle<Context>>> = const { RefCell::new(Vec::new()) };
}

/// Creates a context without making it current.
pub(crate) fn create(flags: u32, primary: bool) -> Handle<Context> {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let handle = object::fresh();
    let fate = Arc::new(Fate::default());
    let context = Context {
        handle,
        id: IDS.fetch_add(1, Ordering::Relaxed),
        primary,
        flags: AtomicU32::new(flags),
        legacy: Arc::new(Stream::legacy(handle, fate.clone())),
        fate,
        limits: Mutex::new([1024, 1 << 20, 8 << 20, 2, 2048, 128, 0]),
        cache_config: AtomicU32::new(0),
        shared_config: AtomicU32::new(0),
    };
    object::insert(handle, Arc::new(context));
    handle
}

/// Ends a context: drops its work, frees everything that belongs to it and counts what the caller had forgotten.
pub(crate) fn destroy(handle: Handle<Context>) -> Outcome {
    let driver = driver()?;
    let context = object::remove(handle)?;
    if context.fate.check().is_ok() {
        driver.queue.finish_context(handle);
    }
    context.fate.seal(Error::CONTEXT_IS_DESTROYED);
    driver.queue.finish_context(handle);
    let modules = object::remove_all::<Module>(|m| m.context == Some(handle));
    modules.iter().for_each(|module| module.discard());
    let leaked = modules.len()
        + object::remove_all::<Stream>(|s| s.context == handle).len()
        + object::remove_all::<Event>(|e| e.context == handle).len()
        + memory::forget_context(driver, handle);
    Kind::Leaked.add_many(leaked as u64);
    STACK.with_borrow_mut(|stack| {
        if stack.last() == Some(&handle) {
            stack.pop();
        }
    });
    Ok(())
}

/// The current context's handle, null if none.
pub(crate) fn current_handle() -> Handle<Context> {
    STACK.with_borrow(|stack| stack.last().copied().unwrap_or(Handle::NULL))
}

/// Replaces the current context; null leaves none.
pub(crate) fn set_current(handle: Handle<Context>) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        if !handle.is_null() {
            stack.push(handle);
        }
    });
}

pub(crate) fn push(handle: Handle<Context>) {
    STACK.with_borrow_mut(|stack| stack.push(handle));
}

pub(crate) fn pop() -> Result<Handle<Context>, Error> {
    STACK
        .with_borrow_mut(Vec::pop)
        .ok_or(Error::INVALID_CONTEXT)
}

/// The current context, whatever its state.
pub(crate) fn current_in_any_state() -> Result<Arc<Context>, Error> {
    driver()?;
    match current_handle() {
        handle if handle.is_null() => Err(Error::INVALID_CONTEXT),
        handle => handle.get().map_err(|_| Error::CONTEXT_IS_DESTROYED),
    }
}

/// The current context, unless an earlier error has stopped it.
pub(crate) fn current() -> Result<Arc<Context>, Error> {
    let context = current_in_any_state()?;
    context.fate.check()?;
    Ok(context)
}

/// Uses the current context without counting a reference.
#[inline]
pub(crate) fn with_current<R>(
    f: impl FnOnce(&Arc<Context>) -> Result<R, Error>,
) -> Result<R, Error> {
    match current_handle() {
        handle if handle.is_null() => Err(Error::INVALID_CONTEXT),
        handle => handle
            .with(|context| {
                context.fate.check()?;
                f(context)
            })
            .map_err(|_| Error::CONTEXT_IS_DESTROYED)?,
    }
}

/// Retains the primary context.
pub(crate) fn retain_primary() -> Result<Handle<Context>, Error> {
    let mut primary = lock(&driver()?.primary);
    let flags = primary.flags;
    let handle = *primary.context.get_or_insert_with(|| create(flags, true));
    primary.retained += 1;
    Ok(handle)
}

/// Releases the primary context; the last release destroys it.
pub(crate) fn release_primary() -> Outcome {
    let mut primary = lock(&driver()?.primary);
    if primary.retained == 0 {
        return Err(Error::INVALID_CONTEXT);
    }
    primary.retained -= 1;
    match primary.context {
        Some(handle) if primary.retained == 0 => {
            primary.context = None;
            destroy(handle)
        }
        _ => Ok(()),
    }
}

/// Destroys the primary context whoever holds it. Those who retained it still have to release it.
pub(crate) fn reset_primary() -> Outcome {
    let mut primary = lock(&driver()?.primary);
    match primary.context.take() {
        Some(handle) => destroy(handle),
        None => Ok(()),
    }
}
