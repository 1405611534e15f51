//! Fat binaries: a wrapper, a header, and entries of PTX or machine code, possibly compressed.
//!
//! The layout is that of `fatbinary`'s output: header `magic, version, header size, body size`; entry `kind, version,
//! header size, payload size, compressed size, .., capability, .., flags, .., full size`.

use crate::error::Error;
use crate::pointer::Host;

const MAGIC: u32 = 0xBA55_ED50;
const WRAPPER: u32 = 0x4662_43B1;
const PTX: u16 = 1;
/// The payload is compressed (LZ4 or zstd).
const COMPRESSED: u64 = 0x2000 | 0x8000;

/// Whether an image starts like a fat binary or its wrapper.
pub(crate) fn is_fatbin(magic: u32) -> bool {
    magic == MAGIC || magic == WRAPPER
}

/// A PTX text of a fat binary and the capability it is for, such as 100.
pub(crate) struct Ptx {
    pub capability: u32,
    pub text: Vec<u8>,
}

/// The uncompressed PTX texts in a fat binary.
pub(crate) fn ptx_texts(image: Host) -> Result<Vec<Ptx>, Error> {
    let bytes = bytes(image)?;
    let header = u16_at(&bytes, 6).ok_or(Error::INVALID_IMAGE)? as usize;
    let mut texts = Vec::new();
    let mut rest = bytes.get(header..).unwrap_or_default();
    while rest.len() >= 64 {
        let (Some(kind), Some(size), Some(payload)) =
            (u16_at(rest, 0), u32_at(rest, 4), u64_at(rest, 8))
        else {
            break;
        };
        let end = (size as usize).checked_add(payload as usize);
        let Some(body) = end.and_then(|end| rest.get(size as usize..end)) else {
            return Err(Error::INVALID_IMAGE);
        };
        let flags = u64_at(rest, 40).unwrap_or(0);
        if kind == PTX && flags & COMPRESSED == 0 {
            let text = body.split(|b| *b == 0).next().unwrap_or_default();
            let capability = u32_at(rest, 28).unwrap_or(0);
            texts.push(Ptx {
                capability,
                text: text.to_vec(),
            });
        }
        if size == 0 {
            break;
        }
        rest = &rest[size as usize + payload as usize..];
    }
    Ok(texts)
}

/// The whole fat binary, behind its wrapper if there is one.
fn bytes(image: Host) -> Result<Vec<u8>, Error> {
    let image = match image.value::<u32>()? {
        WRAPPER => Host::from_address(image.offset(8).value::<usize>()?),
        _ => image,
    };
    if image.is_null() || image.value::<u32>()? != MAGIC {
        return Err(Error::INVALID_IMAGE);
    }
    let header = image.offset(6).value::<u16>()? as usize;
    let body = image.offset(8).value::<u64>()? as usize;
    if header < 16 || body > 1 << 30 {
        return Err(Error::INVALID_IMAGE);
    }
    let mut bytes = vec![0; header + body];
    image.read(&mut bytes);
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
