//! One case under one schedule, through the emulator's public interface.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::{ElementType, Im2col};
use ptx_emulator::{
    Checks, Device, DeviceConfig, Fault, Launch, Module, Schedule, Stop, TensorMap,
};

use super::case::{Buffer, Case, Expect, Fill, LaunchSpec, Map};
use super::formula::{evaluate, number};

/// What a run came to.
pub enum Outcome {
    /// It completed; the first wrong value of each expectation.
    Completed(Vec<String>),
    Fault(Fault),
    /// It could not be judged: refused, unsupported, or not even started.
    NotRun(String),
}

/// The schedules that a header's words name, with a name each.
pub fn schedules(words: &[String]) -> Vec<(String, Schedule)> {
    let of = |word: &String| match word.split_once('=') {
        Some((_, count)) => {
            let count = number(count).expect("a number of random schedules");
            (0..count)
                .map(|seed| (format!("random {seed}"), Schedule::Random(seed)))
                .collect()
        }
        None if word == "eager" => vec![(word.clone(), Schedule::Eager)],
        None if word == "lazy" => vec![(word.clone(), Schedule::Lazy)],
        None => panic!("unknown schedule {word}"),
    };
    words.iter().flat_map(of).collect()
}

/// Runs a case. A panic of the emulator counts as not run.
pub fn run(case: &Case, schedule: Schedule) -> Outcome {
    let result = catch_unwind(AssertUnwindSafe(|| try_run(case, schedule)));
    match result {
        Ok(Ok(wrong)) => Outcome::Completed(wrong),
        Ok(Err(Stop::Fault(fault))) => Outcome::Fault(fault),
        Ok(Err(stop)) => Outcome::NotRun(stop.to_string()),
        Err(_) => Outcome::NotRun("the emulator panicked".into()),
    }
}

fn try_run(case: &Case, schedule: Schedule) -> Result<Vec<String>, Stop> {
    let module = Module::load(&case.name, &case.text).map_err(|e| Stop::Usage(e.to_string()))?;
    let mut setting = Setting::new(case)?;
    let specs = case.launches.iter();
    let launches: Vec<Launch> = specs.map(|spec| setting.launch(&module, spec)).collect();
    let sequence: Vec<_> = launches.iter().map(|launch| (&module, launch)).collect();
    let done = setting.device.launch_sequence(&sequence, schedule);
    done.map_err(|stopped| stopped.stop)?;
    setting.compare(case)
}

/// A device with the case's buffers.
struct Setting {
    device: Device,
    /// What each parameter holds, by name.
    arguments: HashMap<String, Vec<u8>>,
    addresses: HashMap<String, u64>,
    initial: HashMap<String, Vec<u8>>,
}

impl Setting {
    fn new(case: &Case) -> Result<Self, Stop> {
        let config = DeviceConfig {
            instruction_limit: 4_000_000,
            checks: if case.strict && case.is_fail() {
                Checks::Strict
            } else {
                Checks::All
            },
            ..DeviceConfig::default()
        };
        let device = Device::new(config);
        let (arguments, addresses, initial) = Default::default();
        let mut setting = Setting {
            device,
            arguments,
            addresses,
            initial,
        };
        case.buffers.iter().try_for_each(|b| setting.buffer(b))?;
        case.maps.iter().try_for_each(|m| setting.map(m))?;
        for (name, value) in &case.scalars {
            setting
                .arguments
                .insert(name.clone(), value.to_le_bytes().into());
        }
        Ok(setting)
    }

    fn buffer(&mut self, buffer: &Buffer) -> Result<(), Stop> {
        let bytes = buffer.count * buffer.element_bytes;
        let address = self.device.allocate(&buffer.name, bytes, 0);
        let of = |i: usize| match buffer.fill {
            Fill::Value(value) => value,
            _ => i as u64,
        };
        if !matches!(buffer.fill, Fill::Poison) {
            let words = (0..buffer.count).map(|i| of(i).to_le_bytes());
            let data: Vec<u8> = words
                .flat_map(|w| w[..buffer.element_bytes].to_vec())
                .collect();
            self.device.write(address, &data)?;
        }
        self.initial
            .insert(buffer.name.clone(), self.device.read(address, bytes)?);
        self.addresses.insert(buffer.name.clone(), address);
        self.arguments
            .insert(buffer.name.clone(), address.to_le_bytes().into());
        Ok(())
    }

    fn map(&mut self, map: &Map) -> Result<(), Stop> {
        let bytes = tensor_map(map, self.addresses[&map.fields["over"]]).encode();
        let argument = if map.in_global {
            let address = self.device.allocate(&map.name, bytes.len(), 0);
            self.device.write(address, &bytes)?;
            address.to_le_bytes().to_vec()
        } else {
            bytes.to_vec()
        };
        self.arguments.insert(map.name.clone(), argument);
        Ok(())
    }

    fn launch(&self, module: &Module, spec: &LaunchSpec) -> Launch {
        let only = module.entries().next().expect("an entry");
        let entry = if spec.entry.is_empty() {
            only
        } else {
            &spec.entry
        };
        let declared = module.params(entry).expect("the entry exists");
        let end = declared
            .iter()
            .map(|p| p.offset + p.bytes)
            .max()
            .unwrap_or(0);
        let mut params = vec![0; end as usize];
        for parameter in declared {
            let value = &self.arguments[&parameter.name];
            let (at, len) = (parameter.offset as usize, parameter.bytes as usize);
            params[at..at + len].copy_from_slice(&value[..len]);
        }
        Launch {
            entry: entry.into(),
            grid: [spec.grid, 1, 1],
            block: [spec.block, 1, 1],
            cluster: [spec.cluster, 1, 1],
            dynamic_shared: spec.dynamic,
            params,
            programmatic: spec.programmatic,
        }
    }

    /// The first wrong element of each expected range.
    fn compare(&self, case: &Case) -> Result<Vec<String>, Stop> {
        let Expect::Values(values) = &case.expect else {
            return Ok(Vec::new());
        };
        let mut wrong = Vec::new();
        for (name, range, formula) in values {
            let buffer = case
                .buffers
                .iter()
                .find(|b| b.name == *name)
                .expect("checked when read");
            let size = buffer.element_bytes;
            let got = self
                .device
                .read(self.addresses[name], buffer.count * size)?;
            let expected = |i: usize| match formula.as_str() {
                "poison" => self.initial[name][i * size..][..size].to_vec(),
                text => evaluate(text, i as u64).expect("a formula").to_le_bytes()[..size].to_vec(),
            };
            let different = range
                .clone()
                .find(|&i| got[i * size..][..size] != expected(i));
            wrong.extend(different.map(|i| {
                let hex = |bytes: &[u8]| {
                    bytes
                        .iter()
                        .rev()
                        .map(|b| format!("{b:02x}"))
                        .collect::<String>()
                };
                format!(
                    "{name}[{i}] is {}, not {}",
                    hex(&got[i * size..][..size]),
                    hex(&expected(i))
                )
            }));
        }
        Ok(wrong)
    }
}

fn tensor_map(map: &Map, address: u64) -> TensorMap {
    let list = |key: &str| -> Vec<u64> {
        map.fields[key]
            .split(',')
            .map(|n| number(n).expect("a number"))
            .collect()
    };
    let (dims, strides, boxes) = (list("dims"), list("strides"), list("box"));
    let at = |list: &[u64], i: usize, rest: u64| list.get(i).copied().unwrap_or(rest);
    let element = match map.fields["type"].as_str() {
        "u8" => ElementType::U8,
        "u16" => ElementType::U16,
        "f16" => ElementType::F16,
        "u32" => ElementType::U32,
        other => panic!("unknown element type {other}"),
    };
    let swizzle = match map.fields["swizzle"].as_str() {
        "none" => Swizzle::None,
        "32B" => Swizzle::B32,
        "64B" => Swizzle::B64,
        "128B" => Swizzle::B128,
        other => panic!("unknown swizzle {other}"),
    };
    let made = TensorMap {
        address,
        rank: dims.len(),
        element,
        dims: std::array::from_fn(|i| at(&dims, i, 1)),
        strides: std::array::from_fn(|i| at(&strides, i, 0)),
        box_dims: std::array::from_fn(|i| at(&boxes, i, 1) as u32),
        element_strides: [1; 5],
        interleave: Default::default(),
        swizzle,
        fill: Default::default(),
        l2_promotion: Default::default(),
        im2col: map.fields.contains_key("pixels").then(|| im2col(map)),
    };
    made.check().unwrap_or_else(|e| panic!("{}: {e}", map.name));
    made
}

fn im2col(map: &Map) -> Im2col {
    let corner = |key: &str| -> [i32; 3] {
        let mut given = map.fields[key]
            .split(',')
            .map(|n| n.parse().expect("a number"));
        std::array::from_fn(|_| given.next().unwrap_or(0))
    };
    Im2col {
        lower: corner("lower"),
        upper: corner("upper"),
        pixels: number(&map.fields["pixels"]).expect("a number") as u32,
    }
}
