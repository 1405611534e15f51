//! Devices and their primary contexts.

use super::check_device;
use crate::attributes;
use crate::context;
use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::pointer::{Host, Name, Out};
use crate::types::{CUcontext, CUdevice, DevProp, Uuid};

const PCI_BUS_ID: &str = "0000:01:00.0";

/// Writes a text and its NUL into a buffer, cut to fit.
fn write_text(buffer: Host, length: i32, text: &str) -> Outcome {
    if buffer.is_null() || length <= 0 {
        return Err(Error::INVALID_VALUE);
    }
    let end = text.len().min(length as usize - 1);
    buffer.write(&text.as_bytes()[..end]);
    buffer.offset(end).write(&[0]);
    Ok(())
}

abi! { SYMBOLS:
    fn cuDeviceGet(device: Out<CUdevice>, ordinal: i32) = "cuDeviceGet" since 2000 {
        check_device(ordinal)?;
        device.set(ordinal)
    }

    fn cuDeviceGetCount(count: Out<i32>) = "cuDeviceGetCount" since 2000 {
        count.set(driver()?.config.devices)
    }

    fn cuDeviceGetName(name: Host, length: i32, device: CUdevice) = "cuDeviceGetName" since 2000 {
        write_text(name, length, &attributes::name(&check_device(device)?.config))
    }

    fn cuDeviceGetUuid(uuid: Out<Uuid>, device: CUdevice) = "cuDeviceGetUuid" since 9020 {
        uuid.set(Uuid(attributes::uuid(&check_device(device)?.config)))
    }

    fn cuDeviceGetUuid_v2(uuid: Out<Uuid>, device: CUdevice) = "cuDeviceGetUuid" since 11040 {
        uuid.set(Uuid(attributes::uuid(&check_device(device)?.config)))
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: CUdevice) = "cuDeviceTotalMem" since 3020 {
        bytes.set(check_device(device)?.config.memory as usize)
    }

    fn cuDeviceGetAttribute(value: Out<i32>, attribute: u32, device: CUdevice) = "cuDeviceGetAttribute" since 2000 {
        value.set(attributes::device(&check_device(device)?.config, attribute)?)
    }

    fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, device: CUdevice) = "cuDeviceComputeCapability" since 2000 {
        let capability = check_device(device)?.config.capability;
        major.set(capability.0)?;
        minor.set(capability.1)
    }

    fn cuDeviceGetProperties(properties: Out<DevProp>, device: CUdevice) = "cuDeviceGetProperties" since 2000 {
        let config = &check_device(device)?.config;
        // In the order of CUdevprop: threads, block sizes, grid sizes, shared, constant, warp, pitch, registers, ..
        let fields = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        let mut values = [0; 14];
        for (value, attribute) in values.iter_mut().zip(fields) {
            *value = attributes::device(config, attribute)?;
        }
        properties.set(DevProp(values))
    }

    fn cuDeviceGetPCIBusId(id: Host, length: i32, device: CUdevice) = "cuDeviceGetPCIBusId" since 4010 {
        check_device(device)?;
        write_text(id, length, PCI_BUS_ID)
    }

    fn cuDeviceGetByPCIBusId(device: Out<CUdevice>, id: Name) = "cuDeviceGetByPCIBusId" since 4010 {
        driver()?;
        if !id.get()?.eq_ignore_ascii_case(PCI_BUS_ID) {
            return Err(Error::INVALID_DEVICE);
        }
        device.set(0)
    }

    fn cuDeviceCanAccessPeer(can: Out<i32>, device: CUdevice, peer: CUdevice) = "cuDeviceCanAccessPeer" since 4000 {
        check_device(device)?;
        check_device(peer)?;
        can.set(0)
    }

    fn cuDeviceGetExecAffinitySupport(supported: Out<i32>, kind: u32, device: CUdevice) = "cuDeviceGetExecAffinitySupport" since 11040 {
        let _ = kind;
        check_device(device)?;
        supported.set(0)
    }

    fn cuDevicePrimaryCtxRetain(context: Out<CUcontext>, device: CUdevice) = "cuDevicePrimaryCtxRetain" since 7000 {
        check_device(device)?;
        if context.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        context.set(context::retain_primary()?)
    }

    fn cuDevicePrimaryCtxRelease(device: CUdevice) = "cuDevicePrimaryCtxRelease" since 7000 {
        check_device(device)?;
        context::release_primary()
    }

    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) = "cuDevicePrimaryCtxRelease" since 11000 {
        check_device(device)?;
        context::release_primary()
    }

    fn cuDevicePrimaryCtxReset(device: CUdevice) = "cuDevicePrimaryCtxReset" since 7000 {
        check_device(device)?;
        context::reset_primary()
    }

    fn cuDevicePrimaryCtxReset_v2(device: CUdevice) = "cuDevicePrimaryCtxReset" since 11000 {
        check_device(device)?;
        context::reset_primary()
    }

    fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: Out<u32>, active: Out<i32>) = "cuDevicePrimaryCtxGetState" since 7000 {
        let primary = lock(&check_device(device)?.primary);
        flags.set(primary.flags)?;
        active.set(i32::from(primary.context.is_some()))
    }

    fn cuDevicePrimaryCtxSetFlags(device: CUdevice, flags: u32) = "cuDevicePrimaryCtxSetFlags" since 7000 {
        set_primary_flags(device, flags)
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: u32) = "cuDevicePrimaryCtxSetFlags" since 11000 {
        set_primary_flags(device, flags)
    }
}

fn set_primary_flags(device: CUdevice, flags: u32) -> Outcome {
    let mut primary = lock(&check_device(device)?.primary);
    if flags & !super::context::FLAGS != 0 {
        return Err(Error::INVALID_VALUE);
    }
    primary.flags = flags;
    Ok(())
}
