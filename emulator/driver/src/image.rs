//! What a caller hands over to be loaded: PTX text, a fat binary, or something that this device cannot run.

use crate::config::Config;
use crate::error::Error;
use crate::fatbin;
use crate::pointer::Host;

/// Why an image is refused, with the text for the JIT's error log.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub error: Error,
    pub log: String,
}

impl Refusal {
    pub(crate) fn new(error: Error, log: impl Into<String>) -> Self {
        Refusal {
            error,
            log: log.into(),
        }
    }
}

/// The PTX text in an image that suits the device.
pub(crate) fn ptx(image: Host, config: &Config) -> Result<String, Refusal> {
    if image.is_null() {
        return Err(Refusal::new(Error::INVALID_VALUE, "no image"));
    }
    // Text is at least one character and its end, so the first two bytes exist; the others only if these match.
    let start = |n| image.offset(n).value::<u8>().unwrap_or(0);
    let magic = |bytes: [u8; 4]| (0..4).all(|i| start(i) == bytes[i]);
    if magic(*b"\x7fELF") {
        let log = "the image is a cubin, machine code for another device: load PTX";
        return Err(Refusal::new(Error::NO_BINARY_FOR_GPU, log));
    }
    if start(0) != 0 && (1..4).all(|i| start(i - 1) != 0) {
        let word = u32::from_le_bytes([start(0), start(1), start(2), start(3)]);
        if fatbin::is_fatbin(word) {
            return from_fatbin(image, config);
        }
    }
    let text = text(image.text())?;
    check(&text, config)?;
    Ok(text)
}

fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|_| {
        Refusal::new(
            Error::INVALID_IMAGE,
            "the image is neither PTX nor a binary",
        )
    })
}

fn from_fatbin(image: Host, config: &Config) -> Result<String, Refusal> {
    let none = || {
        let log = "the fat binary holds no uncompressed PTX that this device can run";
        Refusal::new(Error::NO_BINARY_FOR_GPU, log)
    };
    let texts = fatbin::ptx_texts(image)
        .map_err(|error| Refusal::new(error, "the fat binary is damaged"))?;
    let mut texts: Vec<_> = (texts.into_iter())
        .filter_map(|ptx| Some((ptx.capability, text(ptx.text).ok()?)))
        .collect();
    texts.sort_by_key(|(capability, _)| *capability);
    (texts.into_iter().rev())
        .map(|(_, text)| text)
        .find(|text| check(text, config).is_ok())
        .ok_or_else(none)
}

/// Whether the driver knows the text's `.version` and the device is of its `.target`.
fn check(text: &str, config: &Config) -> Result<(), Refusal> {
    let header = Header::read(text);
    let invalid = |log: String| Refusal::new(Error::INVALID_PTX, log);
    let (line, version) = header
        .version
        .ok_or_else(|| invalid("line 1: no .version directive".into()))?;
    let newest = config.ptx_version();
    if version > newest {
        let log = format!(
            "line {line}: PTX .version {}.{} is newer than {}.{}, the newest that this driver knows",
            version.0, version.1, newest.0, newest.1
        );
        return Err(Refusal::new(Error::UNSUPPORTED_PTX_VERSION, log));
    }
    let (line, target) = header
        .target
        .ok_or_else(|| invalid("line 1: no .target directive".into()))?;
    match runs_on(&target, config.capability) {
        Some(true) => Ok(()),
        Some(false) => {
            let (major, minor) = config.capability;
            let log = format!(
                "line {line}: .target {target} does not run on this device, which is sm_{major}{minor}"
            );
            Err(invalid(log))
        }
        None => Err(invalid(format!("line {line}: unknown .target {target}"))),
    }
}

/// Whether code for `target` runs on a device (PTX ISA, `.target`: plain targets run on every later device, `a` on
/// exactly theirs, `f` on later ones of the same family). `None` if there is no such target.
fn runs_on(target: &str, device: (i32, i32)) -> Option<bool> {
    let name = target.strip_prefix("sm_")?;
    let (digits, suffix) = name.split_at(
        name.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(name.len()),
    );
    let number: i32 = digits.parse().ok()?;
    let (major, minor) = (number / 10, number % 10);
    match suffix {
        "" => Some((major, minor) <= device),
        "a" => Some((major, minor) == device),
        "f" => Some(major == device.0 && minor <= device.1),
        _ => None,
    }
}

/// The first directives of a module with their lines.
#[derive(Default)]
struct Header {
    version: Option<(usize, (u32, u32))>,
    target: Option<(usize, String)>,
}

impl Header {
    fn read(text: &str) -> Self {
        let mut header = Header::default();
        let mut words = words(text);
        while let Some((line, word)) = words.next() {
            match word.as_str() {
                ".version" => {
                    let number = words.next().map(|(_, w)| w).unwrap_or_default();
                    let parts = number.split_once('.');
                    header.version = parts
                        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
                        .map(|version| (line, version));
                }
                ".target" => {
                    header.target = words.next().map(|(_, target)| (line, target));
                    break;
                }
                _ => {}
            }
        }
        header
    }
}

/// Words of a PTX text with their lines, comments left out.
fn words(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        plain.push_str(&rest[..start]);
        let end = match &rest[start..start + 2] {
            "//" => rest[start..].find('\n'),
            _ => rest[start..].find("*/").map(|end| end + 2),
        };
        let end = end.map_or(rest.len(), |end| start + end);
        plain.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        plain.push(' ');
        rest = &rest[end..];
    }
    plain.push_str(rest);
    let words: Vec<_> = (plain.lines().enumerate())
        .flat_map(|(i, line)| {
            let words = line.split(|c: char| c.is_whitespace() || c == ',');
            words
                .filter(|w| !w.is_empty())
                .map(move |w| (i + 1, w.to_string()))
                .collect::<Vec<_>>()
        })
        .collect();
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, config: &Config) -> (Error, String) {
        let refusal = check(text, config).unwrap_err();
        (refusal.error, refusal.log)
    }

    #[test]
    fn targets() {
        for (target, device, expected) in [
            ("sm_90", (10, 0), Some(true)),
            ("sm_90a", (10, 0), Some(false)),
            ("sm_90a", (9, 0), Some(true)),
            ("sm_100a", (10, 0), Some(true)),
            ("sm_100f", (10, 3), Some(true)),
            ("sm_100f", (12, 0), Some(false)),
            ("sm_100", (9, 0), Some(false)),
            ("compute_90", (9, 0), None),
            ("sm_90x", (9, 0), None),
        ] {
            assert_eq!(runs_on(target, device), expected, "{target} on {device:?}");
        }
    }

    #[test]
    fn headers() {
        let config = Config::default();
        let good =
            "// a\n/* .version 1.0\n */ .version 8.7\n.target sm_100a, debug\n.address_size 64\n";
        assert!(check(good, &config).is_ok());
        let (error, log) = refused(&good.replace("8.7", "9.9"), &config);
        assert_eq!(error, Error::UNSUPPORTED_PTX_VERSION);
        assert!(log.starts_with("line 3:"), "{log}");
        let (error, log) = refused(&good.replace("sm_100a", "sm_90a"), &config);
        assert_eq!(error, Error::INVALID_PTX);
        assert!(
            log.starts_with("line 4:") && log.contains("sm_90a"),
            "{log}"
        );
        assert_eq!(refused("", &config).0, Error::INVALID_PTX);
        assert_eq!(
            refused(".version eight\n.target sm_90", &config).0,
            Error::INVALID_PTX
        );
    }
}
