//! Libraries: modules that belong to no context.

use super::check_device;
use super::module::read_file;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::module::{self, JitOptions};
use crate::pointer::{Host, In, Name, Out};
use crate::types::{CUdeviceptr, CUfunction, CUmodule};

fn load(out: Out<CUmodule>, image: Host, options: &JitOptions) -> Outcome {
    driver()?;
    if out.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    out.set(module::load(image, options, true)?)
}

abi! { SYMBOLS:
    fn cuLibraryLoadData(
        library: Out<CUmodule>,
        image: Host,
        jit_options: In<u32>,
        jit_values: Out<usize>,
        jit_count: u32,
        options: In<u32>,
        values: In<usize>,
        count: u32,
    ) = "cuLibraryLoadData" since 12000 {
        let _ = (options, values, count);
        load(library, image, &JitOptions::read(jit_options, jit_values, jit_count as usize)?)
    }

    fn cuLibraryLoadFromFile(
        library: Out<CUmodule>,
        path: Name,
        jit_options: In<u32>,
        jit_values: Out<usize>,
        jit_count: u32,
        options: In<u32>,
        values: In<usize>,
        count: u32,
    ) = "cuLibraryLoadFromFile" since 12000 {
        let _ = (options, values, count);
        let bytes = read_file(path)?;
        let jit = JitOptions::read(jit_options, jit_values, jit_count as usize)?;
        load(library, Host::from_address(bytes.as_ptr() as usize), &jit)
    }

    fn cuLibraryUnload(library: CUmodule) = "cuLibraryUnload" since 12000 {
        driver()?;
        module::unload(library, true)
    }

    fn cuLibraryGetKernel(kernel: Out<CUfunction>, library: CUmodule, name: Name) = "cuLibraryGetKernel" since 12000 {
        let library = library.get()?;
        kernel.set(*library.functions.get(&name.get()?).ok_or(Error::NOT_FOUND)?)
    }

    fn cuLibraryGetModule(module: Out<CUmodule>, library: CUmodule) = "cuLibraryGetModule" since 12000 {
        library.get()?;
        module.set(library)
    }

    fn cuLibraryGetKernelCount(count: Out<u32>, library: CUmodule) = "cuLibraryGetKernelCount" since 12040 {
        count.set(library.get()?.functions.len() as u32)
    }

    fn cuLibraryEnumerateKernels(kernels: Out<CUfunction>, count: u32, library: CUmodule) = "cuLibraryEnumerateKernels" since 12040 {
        let library = library.get()?;
        let wanted = library.functions.values().take(count as usize);
        wanted.enumerate().try_for_each(|(i, kernel)| kernels.set_at(i, *kernel))
    }

    fn cuLibraryGetGlobal(address: Out<CUdeviceptr>, size: Out<usize>, library: CUmodule, name: Name) = "cuLibraryGetGlobal" since 12000 {
        let (start, bytes) = library.get()?.variable(&name.get()?)?;
        address.set_if_wanted(start);
        size.set_if_wanted(bytes as usize);
        Ok(())
    }

    fn cuKernelGetFunction(function: Out<CUfunction>, kernel: CUfunction) = "cuKernelGetFunction" since 12000 {
        kernel.get()?;
        function.set(kernel)
    }

    fn cuKernelGetLibrary(library: Out<CUmodule>, kernel: CUfunction) = "cuKernelGetLibrary" since 12050 {
        library.set(kernel.get()?.module)
    }

    fn cuKernelGetAttribute(value: Out<i32>, attribute: u32, kernel: CUfunction, device: i32) = "cuKernelGetAttribute" since 12000 {
        check_device(device)?;
        value.set(kernel.get()?.attribute(attribute)?)
    }

    fn cuKernelSetAttribute(attribute: u32, value: i32, kernel: CUfunction, device: i32) = "cuKernelSetAttribute" since 12000 {
        check_device(device)?;
        kernel.get()?.set_attribute(attribute, value)
    }

    fn cuKernelSetCacheConfig(kernel: CUfunction, config: u32, device: i32) = "cuKernelSetCacheConfig" since 12000 {
        check_device(device)?;
        kernel.get()?;
        if config > 3 { Err(Error::INVALID_VALUE) } else { Ok(()) }
    }

    fn cuKernelGetName(name: Out<usize>, kernel: CUfunction) = "cuKernelGetName" since 12030 {
        name.set(kernel.get()?.entry().c_name.as_ptr() as usize)
    }

    fn cuKernelGetParamInfo(kernel: CUfunction, index: usize, offset: Out<usize>, size: Out<usize>) = "cuKernelGetParamInfo" since 12040 {
        super::function::parameter(kernel, index, offset, size)
    }
}
