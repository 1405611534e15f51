//! The environment: which device is emulated and how (table in `README.md`).

use std::path::PathBuf;
use std::str::FromStr;

/// In which order the machine runs what may run in several orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As early as possible.
    Eager,
    /// As late as possible.
    Lazy,
    /// At random, from a seed.
    Random(u64),
}

/// What the environment says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// 0 or 1.
    pub devices: i32,
    /// Major and minor.
    pub capability: (i32, i32),
    pub sm_count: i32,
    /// Device memory in bytes.
    pub memory: u64,
    /// Such as 13000.
    pub driver_version: i32,
    /// Of the instructions within a kernel.
    pub schedule: Order,
    /// Of the work in streams.
    pub streams: Order,
    /// Whether launches are checked but not executed.
    pub null: bool,
    pub fail: String,
    pub trace: bool,
    /// Where fault reports go; standard error if none.
    pub report: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            devices: 1,
            capability: (10, 0),
            sm_count: 148,
            memory: 180 << 30,
            driver_version: 13000,
            schedule: Order::Eager,
            streams: Order::Eager,
            null: false,
            fail: String::new(),
            trace: false,
            report: None,
        }
    }
}

impl Config {
    /// From the process's environment.
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut config = Config::default();
        let text = |name: &str| get(name).filter(|value| !value.is_empty());
        if let Some(value) = text("PTXEMU_CAPABILITY") {
            config.capability = capability(&value)?;
            if config.capability.0 == 9 {
                config.sm_count = 132;
                config.memory = 80 << 30;
            }
        }
        if let Some(value) = text("PTXEMU_DEVICES") {
            config.devices = number("PTXEMU_DEVICES", &value, 0..=1)?;
        }
        if let Some(value) = text("PTXEMU_SM_COUNT") {
            config.sm_count = number("PTXEMU_SM_COUNT", &value, 1..=1024)?;
        }
        if let Some(value) = text("PTXEMU_MEMORY") {
            config.memory = size(&value)?;
        }
        if let Some(value) = text("PTXEMU_DRIVER_VERSION") {
            config.driver_version = version(&value)?;
        }
        if let Some(value) = text("PTXEMU_SCHEDULE") {
            config.schedule = order("PTXEMU_SCHEDULE", &value)?;
        }
        if let Some(value) = text("PTXEMU_STREAMS") {
            config.streams = order("PTXEMU_STREAMS", &value)?;
        }
        config.null = switch("PTXEMU_NULL", text("PTXEMU_NULL"))?;
        config.trace = switch("PTXEMU_TRACE", text("PTXEMU_TRACE"))?;
        config.fail = text("PTXEMU_FAIL").unwrap_or_default();
        config.report = text("PTXEMU_REPORT").map(PathBuf::from);
        Ok(config)
    }

    /// The newest PTX `.version` that a driver of this age takes (PTX ISA, release notes).
    pub(crate) fn ptx_version(&self) -> (u32, u32) {
        const KNOWN: [(i32, (u32, u32)); 17] = [
            (13010, (9, 1)),
            (13000, (9, 0)),
            (12090, (8, 8)),
            (12080, (8, 7)),
            (12070, (8, 6)),
            (12050, (8, 5)),
            (12040, (8, 4)),
            (12030, (8, 3)),
            (12020, (8, 2)),
            (12010, (8, 1)),
            (12000, (8, 0)),
            (11080, (7, 8)),
            (11070, (7, 7)),
            (11060, (7, 6)),
            (11050, (7, 5)),
            (11040, (7, 4)),
            (0, (7, 3)),
        ];
        if self.driver_version >= 13020 {
            return (9, (self.driver_version as u32 - 13000) / 10);
        }
        (KNOWN.iter())
            .find(|(driver, _)| self.driver_version >= *driver)
            .map_or((7, 3), |(_, ptx)| *ptx)
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    value: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, String> {
    (value.parse().ok())
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            format!(
                "{name}={value}: not a number from {} to {}",
                range.start(),
                range.end()
            )
        })
}

fn switch(name: &str, value: Option<String>) -> Result<bool, String> {
    match value.as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => Err(format!("{name}={other}: neither 0 nor 1")),
    }
}

fn capability(value: &str) -> Result<(i32, i32), String> {
    let parts = value.split_once('.');
    let numbers = parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers
        .filter(|(major, minor)| (9..=12).contains(major) && (0..=9).contains(minor))
        .ok_or_else(|| {
            format!("PTXEMU_CAPABILITY={value}: not a compute capability such as 10.0 or 9.0")
        })
}

fn size(value: &str) -> Result<u64, String> {
    let (digits, shift) = match value.as_bytes().last() {
        Some(b'K' | b'k') => (&value[..value.len() - 1], 10),
        Some(b'M' | b'm') => (&value[..value.len() - 1], 20),
        Some(b'G' | b'g') => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    (digits.parse::<u64>().ok())
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("PTXEMU_MEMORY={value}: not a size such as 180G or 512M"))
}

/// `12.8`, `13.0` or `13000`.
fn version(value: &str) -> Result<i32, String> {
    let parsed = match value.split_once('.') {
        Some((major, minor)) => (major.parse::<i32>().ok())
            .zip(minor.parse::<i32>().ok())
            .map(|(major, minor)| major * 1000 + minor * 10),
        None => value.parse().ok(),
    };
    parsed
        .filter(|version| (11030..14000).contains(version))
        .ok_or_else(|| format!("PTXEMU_DRIVER_VERSION={value}: not a CUDA version such as 12.8"))
}

fn order(name: &str, value: &str) -> Result<Order, String> {
    match value.split_once(':').unwrap_or((value, "0")) {
        ("eager", "0") => Ok(Order::Eager),
        ("lazy", "0") => Ok(Order::Lazy),
        ("random", seed) => seed.parse().map(Order::Random).map_err(|_| ()),
        _ => Err(()),
    }
    .map_err(|()| format!("{name}={value}: not eager, lazy, random or random:SEED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|name| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn nothing_set_is_a_b200() {
        let config = with(&[]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.ptx_version(), (9, 0));
    }

    #[test]
    fn everything_can_be_set() {
        let config = with(&[
            ("PTXEMU_CAPABILITY", "9.0"),
            ("PTXEMU_MEMORY", "512M"),
            ("PTXEMU_DRIVER_VERSION", "12.8"),
            ("PTXEMU_SCHEDULE", "random:7"),
            ("PTXEMU_STREAMS", "lazy"),
            ("PTXEMU_NULL", "1"),
        ])
        .unwrap();
        assert_eq!((config.capability, config.sm_count), ((9, 0), 132));
        assert_eq!(config.memory, 512 << 20);
        assert_eq!(config.ptx_version(), (8, 7));
        assert_eq!(
            (config.schedule, config.streams),
            (Order::Random(7), Order::Lazy)
        );
        assert!(config.null);
    }

    #[test]
    fn nonsense_is_named() {
        for (name, value) in [
            ("PTXEMU_CAPABILITY", "10"),
            ("PTXEMU_SM_COUNT", "0"),
            ("PTXEMU_MEMORY", "lots"),
            ("PTXEMU_DRIVER_VERSION", "9.0"),
            ("PTXEMU_SCHEDULE", "sometimes"),
            ("PTXEMU_STREAMS", "random:x"),
            ("PTXEMU_NULL", "yes"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
