//! Modules.

use crate::capture;
use crate::context;
use crate::error::{Error, Outcome};
use crate::module::{self, JitOptions};
use crate::pointer::{Host, In, Name, Out};
use crate::types::{CUdeviceptr, CUfunction, CUmodule};

fn load(out: Out<CUmodule>, image: Host, options: &JitOptions) -> Outcome {
    context::current()?;
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    out.set(module::load(image, options, false)?)
}

/// A file as an image: its bytes and a NUL, in case it is text.
pub(super) fn read_file(path: Name) -> Result<Vec<u8>, Error> {
    let mut bytes = std::fs::read(path.get()?).map_err(|_| Error::FILE_NOT_FOUND)?;
    bytes.extend([0; 16]);
    Ok(bytes)
}

abi! { SYMBOLS:
    fn cuModuleLoad(module: Out<CUmodule>, path: Name) = "cuModuleLoad" since 2000 {
        let bytes = read_file(path)?;
        load(module, Host::from_address(bytes.as_ptr() as usize), &JitOptions::none())
    }

    fn cuModuleLoadData(module: Out<CUmodule>, image: Host) = "cuModuleLoadData" since 2000 {
        load(module, image, &JitOptions::none())
    }

    fn cuModuleLoadDataEx(
        module: Out<CUmodule>,
        image: Host,
        count: u32,
        options: In<u32>,
        values: Out<usize>,
    ) = "cuModuleLoadDataEx" since 2010 {
        load(module, image, &JitOptions::read(options, values, count as usize)?)
    }

    fn cuModuleLoadFatBinary(module: Out<CUmodule>, image: Host) = "cuModuleLoadFatBinary" since 2000 {
        load(module, image, &JitOptions::none())
    }

    fn cuModuleUnload(module: CUmodule) = "cuModuleUnload" since 2000 {
        context::current_in_any_state()?;
        capture::check_unsafe()?;
        module::unload(module, false)
    }

    fn cuModuleGetFunction(function: Out<CUfunction>, module: CUmodule, name: Name) = "cuModuleGetFunction" since 2000 {
        context::current()?;
        let module = module.get()?;
        function.set(*module.functions.get(&name.get()?).ok_or(Error::NOT_FOUND)?)
    }

    fn cuModuleGetFunctionCount(count: Out<u32>, module: CUmodule) = "cuModuleGetFunctionCount" since 12040 {
        context::current()?;
        count.set(module.get()?.functions.len() as u32)
    }

    fn cuModuleEnumerateFunctions(functions: Out<CUfunction>, count: u32, module: CUmodule) = "cuModuleEnumerateFunctions" since 12040 {
        context::current()?;
        let module = module.get()?;
        let wanted = module.functions.values().take(count as usize);
        wanted.enumerate().try_for_each(|(i, function)| functions.set_at(i, *function))
    }

    fn cuModuleGetGlobal_v2(address: Out<CUdeviceptr>, size: Out<usize>, module: CUmodule, name: Name) = "cuModuleGetGlobal" since 3020 {
        context::current()?;
        let (start, bytes) = module.get()?.variable(&name.get()?)?;
        address.set_if_wanted(start);
        size.set_if_wanted(bytes as usize);
        Ok(())
    }

    fn cuModuleGetLoadingMode(mode: Out<u32>) = "cuModuleGetLoadingMode" since 11070 {
        // CU_MODULE_EAGER_LOADING.
        mode.set(1)
    }
}
