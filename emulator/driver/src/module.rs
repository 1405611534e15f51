//! Modules and libraries: loaded code, its functions and its variables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::context::{self, Context};
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::image::{self, Refusal};
use crate::kernel::Function;
use crate::machine::{Code, Instance};
use crate::memory;
use crate::object::{self, object};
use crate::pointer::{Handle, Host, In, Out};

/// A module of one context, or a library of all.
pub(crate) struct Module {
    /// `None` for a library.
    pub context: Option<Handle<Context>>,
    pub functions: BTreeMap<String, Handle<Function>>,
    instance: Arc<Instance>,
}

object!(Module, Modules, INVALID_HANDLE);

/// Options of the JIT compiler that are listened to: the logs and the time.
pub(crate) struct JitOptions {
    values: Out<usize>,
    info: Log,
    error: Log,
    wall_time: Option<usize>,
}

/// A log buffer of the caller, and where in the options its size stands.
#[derive(Default)]
struct Log {
    buffer: Option<Host>,
    size: Option<(usize, usize)>,
}

impl JitOptions {
    pub(crate) fn read(options: In<u32>, values: Out<usize>, count: usize) -> Result<Self, Error> {
        let mut jit = JitOptions {
            values,
            info: Log::default(),
            error: Log::default(),
            wall_time: None,
        };
        for i in 0..count {
            let value = values.as_in().at(i)?;
            match options.at(i)? {
                2 => jit.wall_time = Some(i),
                3 => jit.info.buffer = Some(Host::from_address(value)),
                4 => jit.info.size = Some((i, value)),
                5 => jit.error.buffer = Some(Host::from_address(value)),
                6 => jit.error.size = Some((i, value)),
                0..=35 => {}
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        Ok(jit)
    }

    pub(crate) fn none() -> Self {
        JitOptions {
            values: Out::NULL,
            info: Log::default(),
            error: Log::default(),
            wall_time: None,
        }
    }

    /// Writes both logs and their sizes, and the time in milliseconds.
    fn report(&self, info: &str, error: &str, since: Instant) -> Outcome {
        for (log, text) in [(&self.info, info), (&self.error, error)] {
            if let (Some(buffer), Some((at, size))) = (log.buffer, log.size) {
                self.values
                    .set_at(at, write_log(buffer, size as u32 as usize, text))?;
            }
        }
        if let Some(at) = self.wall_time {
            let milliseconds = since.elapsed().as_secs_f32() * 1e3;
            self.values.set_at(at, milliseconds.to_bits() as usize)?;
        }
        Ok(())
    }

    fn takes_errors(&self) -> bool {
        self.error.buffer.is_some_and(|b| !b.is_null())
            && self.error.size.is_some_and(|(_, size)| size > 1)
    }
}

/// Writes as much of a text as fits with a NUL; returns the bytes written without it.
fn write_log(buffer: Host, size: usize, text: &str) -> usize {
    if buffer.is_null() || size == 0 {
        return 0;
    }
    let mut end = text.len().min(size - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    buffer.write(&text.as_bytes()[..end]);
    buffer.offset(end).write(&[0]);
    end
}

/// Loads an image, as a module of the current context or as a library.
pub(crate) fn load(image: Host, jit: &JitOptions, library: bool) -> Result<Handle<Module>, Error> {
    let context = match library {
        true => None,
        false => Some(context::current()?.handle),
    };
    let since = Instant::now();
    match compile(image) {
        Ok(code) => {
            let info = format!(
                "ptxemu: {} entries, {} variables",
                code.entries.len(),
                code.variable_count()
            );
            jit.report(&info, "", since)?;
            install(code, context)
        }
        Err(refusal) => {
            jit.report("", &refusal.log, since)?;
            if !jit.takes_errors() && !refusal.log.is_empty() {
                driver()?.machine.report(&refusal.log);
            }
            Err(refusal.error)
        }
    }
}

fn compile(image: Host) -> Result<Code, Refusal> {
    let driver = driver().map_err(|error| Refusal::new(error, ""))?;
    let text = image::ptx(image, &driver.config)?;
    driver.machine.compile(&text)
}

/// Gives code its variables and its functions their handles.
fn install(code: Code, context: Option<Handle<Context>>) -> Result<Handle<Module>, Error> {
    let instance = Arc::new(driver()?.machine.instantiate(code)?);
    for variable in &instance.variables {
        memory::adopt(
            context.unwrap_or(Handle::NULL),
            variable.address,
            variable.size,
        )?;
    }
    let module = object::fresh();
    let functions = (0..instance.code.entries.len())
        .map(|entry| {
            let name = instance.code.entries[entry].name.clone();
            let handle = object::fresh();
            let function = Function::new(handle, module, context, instance.clone(), entry);
            object::insert(handle, Arc::new(function));
            (name, handle)
        })
        .collect();
    object::insert(
        module,
        Arc::new(Module {
            context,
            functions,
            instance,
        }),
    );
    Ok(module)
}

/// Unloads a module, or a library.
pub(crate) fn unload(handle: Handle<Module>, library: bool) -> Outcome {
    let module = handle.get()?;
    if library != module.context.is_none() {
        return Err(Error::INVALID_HANDLE);
    }
    // Work that uses it is waited for, as the implicit synchronisation of an unload does.
    match module.context {
        Some(context) => driver()?.queue.finish_context(context),
        None => driver()?.queue.finish_all(),
    }
    object::remove(handle)?.discard();
    Ok(())
}

impl Module {
    /// Address and size of a variable.
    pub(crate) fn variable(&self, name: &str) -> Result<(u64, u64), Error> {
        let variables = &self.instance.variables;
        let variable = variables.iter().find(|v| v.name == name);
        match variable {
            Some(variable) => Ok((variable.address, variable.size)),
            // Constant memory has no address that a copy could go to.
            None if self.instance.code.is_constant(name) => Err(Error::NOT_SUPPORTED),
            None => Err(Error::NOT_FOUND),
        }
    }

    /// Ends the handles of its functions and forgets its variables.
    pub(crate) fn discard(&self) {
        for function in self.functions.values() {
            let _ = object::remove(*function);
        }
        for variable in &self.instance.variables {
            memory::release(variable.address);
        }
    }
}
