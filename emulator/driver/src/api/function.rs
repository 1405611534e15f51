//! Functions and their attributes.

use crate::context;
use crate::error::{Error, Outcome};
use crate::pointer::Out;
use crate::types::{CUfunction, CUmodule};

/// Offset and size of a parameter.
pub(super) fn parameter(
    function: CUfunction,
    index: usize,
    offset: Out<usize>,
    size: Out<usize>,
) -> Outcome {
    let function = function.get()?;
    let param = function
        .entry()
        .params
        .get(index)
        .ok_or(Error::INVALID_VALUE)?;
    offset.set(param.offset)?;
    size.set_if_wanted(param.size);
    Ok(())
}

abi! { SYMBOLS:
    fn cuFuncGetAttribute(value: Out<i32>, attribute: u32, function: CUfunction) = "cuFuncGetAttribute" since 2020 {
        context::current()?;
        value.set(function.get()?.attribute(attribute)?)
    }

    fn cuFuncSetAttribute(function: CUfunction, attribute: u32, value: i32) = "cuFuncSetAttribute" since 9000 {
        context::current()?;
        function.get()?.set_attribute(attribute, value)
    }

    fn cuFuncSetCacheConfig(function: CUfunction, config: u32) = "cuFuncSetCacheConfig" since 3000 {
        context::current()?;
        function.get()?;
        if config > 3 { Err(Error::INVALID_VALUE) } else { Ok(()) }
    }

    fn cuFuncSetSharedMemConfig(function: CUfunction, config: u32) = "cuFuncSetSharedMemConfig" since 4020 {
        context::current()?;
        function.get()?;
        if config > 2 { Err(Error::INVALID_VALUE) } else { Ok(()) }
    }

    fn cuFuncGetModule(module: Out<CUmodule>, function: CUfunction) = "cuFuncGetModule" since 11000 {
        module.set(function.get()?.module)
    }

    fn cuFuncGetName(name: Out<usize>, function: CUfunction) = "cuFuncGetName" since 12030 {
        name.set(function.get()?.entry().c_name.as_ptr() as usize)
    }

    fn cuFuncGetParamInfo(function: CUfunction, index: usize, offset: Out<usize>, size: Out<usize>) = "cuFuncGetParamInfo" since 12040 {
        parameter(function, index, offset, size)
    }

    fn cuFuncGetParamCount(function: CUfunction, count: Out<usize>) = "cuFuncGetParamCount" since 13020 {
        count.set(function.get()?.entry().params.len())
    }

    fn cuFuncIsLoaded(state: Out<u32>, function: CUfunction) = "cuFuncIsLoaded" since 12040 {
        function.get()?;
        // CU_FUNCTION_LOADING_STATE_LOADED.
        state.set(1)
    }

    fn cuFuncLoad(function: CUfunction) = "cuFuncLoad" since 12040 {
        function.get().map(|_| ())
    }
}
