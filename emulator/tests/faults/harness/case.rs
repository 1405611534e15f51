//! A case: one PTX file with a header of comments (README.md beside the cases).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::formula::number;

/// One file of the corpus.
pub struct Case {
    /// Folder and name, with `.fail` or `.pass`.
    pub name: String,
    pub path: PathBuf,
    pub text: String,
    pub launches: Vec<LaunchSpec>,
    pub buffers: Vec<Buffer>,
    pub maps: Vec<Map>,
    pub scalars: Vec<(String, u64)>,
    pub expect: Expect,
    pub schedules: Vec<String>,
    /// The fault must be seen under every schedule, not only under some.
    pub every: bool,
    pub strict: bool,
}

#[derive(Default)]
pub struct LaunchSpec {
    /// Empty: the file's only entry.
    pub entry: String,
    pub grid: u32,
    pub block: u32,
    pub cluster: u32,
    pub dynamic: u32,
    pub programmatic: bool,
}

pub struct Buffer {
    pub name: String,
    pub element_bytes: usize,
    pub count: usize,
    pub fill: Fill,
}

pub enum Fill {
    Poison,
    Iota,
    Value(u64),
}

/// A tensor map over a buffer, passed by value or (`place=global`) as the address of a copy in global memory.
pub struct Map {
    pub name: String,
    pub in_global: bool,
    pub fields: BTreeMap<String, String>,
}

pub enum Expect {
    Fault(Expected),
    /// Buffer, elements, formula.
    Values(Vec<(String, std::ops::Range<usize>, String)>),
}

/// A fault as the header describes it.
#[derive(Default)]
pub struct Expected {
    /// Any of these kinds.
    pub kinds: Vec<String>,
    /// The lines of the two parties: the report is at one of them and names both.
    pub lines: Vec<u32>,
    pub others: Vec<u32>,
    /// `%ctaid.x`, warp and lane of the report.
    pub cta: Option<u32>,
    pub warp: Option<u32>,
    pub lane: Option<u32>,
}

/// All cases, sorted by name.
pub fn discover(folder: &Path) -> Vec<Case> {
    let kinds = fs::read_dir(folder)
        .expect("the corpus is beside the test")
        .flatten()
        .filter(|e| e.path().is_dir());
    let files = kinds.flat_map(|kind| fs::read_dir(kind.path()).expect("a folder").flatten());
    let mut paths: Vec<PathBuf> = files
        .map(|f| f.path())
        .filter(|p| p.extension().is_some_and(|e| e == "ptx"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(folder, path)).collect()
}

fn read(folder: &Path, path: &Path) -> Case {
    let name = path
        .strip_prefix(folder)
        .expect("below the folder")
        .with_extension("")
        .display()
        .to_string();
    let text = fs::read_to_string(path).expect("a readable file");
    parse(name.clone(), path.into(), text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn parse(name: String, path: PathBuf, text: String) -> Result<Case, String> {
    let mut case = Case {
        name,
        path,
        text,
        launches: Vec::new(),
        buffers: Vec::new(),
        maps: Vec::new(),
        scalars: Vec::new(),
        expect: Expect::Values(Vec::new()),
        schedules: Vec::new(),
        every: true,
        strict: false,
    };
    let text = case.text.clone();
    let comments = text.lines().map_while(|line| line.strip_prefix("//"));
    let known = [
        "launch",
        "buffer",
        "tensormap",
        "scalar",
        "expect",
        "schedules",
        "detect",
        "mode",
    ];
    for line in comments {
        match line.trim().split_once(": ") {
            Some((key, value)) if known.contains(&key) => {
                case.header(key, value.trim())
                    .map_err(|e| format!("`{key}: {value}`: {e}"))?;
            }
            _ => {}
        }
    }
    if case.launches.is_empty() || case.schedules.is_empty() {
        return Err("the header needs `launch:` and `schedules:`".into());
    }
    Ok(case)
}

impl Case {
    /// Whether the kernel is wrong.
    pub fn is_fail(&self) -> bool {
        self.name.ends_with(".fail")
    }

    fn header(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "launch" => self.launches.push(launch(value)?),
            "buffer" => self.buffers.push(buffer(value)?),
            "tensormap" => self.maps.push(map(value)),
            "scalar" => {
                let (declared, value) = value.split_once(" = ").ok_or("needs ` = value`")?;
                let name = declared.split(' ').next().unwrap_or_default();
                self.scalars.push((name.into(), number(value)?));
            }
            "expect" => self.expectation(value)?,
            "schedules" => self.schedules.extend(value.split(' ').map(String::from)),
            "detect" => self.every = value == "every",
            _ => self.strict = value == "strict",
        }
        Ok(())
    }

    fn expectation(&mut self, value: &str) -> Result<(), String> {
        if let Some(fault) = value.strip_prefix("fault ") {
            self.expect = Expect::Fault(self.fault(fault)?);
            return Ok(());
        }
        let (target, formula) = value.split_once(" = ").ok_or("needs ` = formula`")?;
        let (name, index) = target
            .trim_end_matches(']')
            .split_once('[')
            .ok_or("needs `name[..]`")?;
        let buffer = self
            .buffers
            .iter()
            .find(|b| b.name == name)
            .ok_or("names no buffer declared above")?;
        let range = match index.split_once("..") {
            _ if index == "i" => 0..buffer.count,
            Some((first, end)) => number(first)? as usize..number(end)? as usize,
            None => number(index)? as usize..number(index)? as usize + 1,
        };
        if range.end > buffer.count {
            return Err("is longer than the buffer".into());
        }
        match &mut self.expect {
            Expect::Values(values) => values.push((name.into(), range, formula.into())),
            Expect::Fault(_) => return Err("a fault and values".into()),
        }
        Ok(())
    }

    fn fault(&self, value: &str) -> Result<Expected, String> {
        let mut words = value.split(' ');
        let kinds = words
            .next()
            .unwrap_or_default()
            .split('|')
            .map(String::from)
            .collect();
        let mut expected = Expected {
            kinds,
            ..Expected::default()
        };
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or("needs key=value behind the kind")?;
            match key {
                "line" => expected.lines = self.marked(value)?,
                "other" => expected.others = self.marked(value)?,
                "cta" => expected.cta = Some(number(value)? as u32),
                "warp" => expected.warp = Some(number(value)? as u32),
                "lane" => expected.lane = Some(number(value)? as u32),
                _ => return Err(format!("unknown key {key}")),
            }
        }
        Ok(expected)
    }

    /// The lines that end in `//<-- A`, for markers such as `A` or `A|B`.
    fn marked(&self, markers: &str) -> Result<Vec<u32>, String> {
        let mut lines = Vec::new();
        for marker in markers.split('|') {
            let tail = format!("//<-- {marker}");
            let before = lines.len();
            let numbered = self.text.lines().zip(1..);
            lines.extend(
                numbered
                    .filter(|(line, _)| line.ends_with(&tail))
                    .map(|(_, n)| n),
            );
            if lines.len() == before {
                return Err(format!("no line is marked `{tail}`"));
            }
        }
        Ok(lines)
    }
}

fn fields(text: &str) -> BTreeMap<String, String> {
    text.split(' ')
        .filter_map(|w| w.split_once('='))
        .map(|(k, v)| (k.into(), v.into()))
        .collect()
}

fn launch(value: &str) -> Result<LaunchSpec, String> {
    let mut spec = LaunchSpec {
        cluster: 1,
        ..LaunchSpec::default()
    };
    for (key, value) in fields(value) {
        match key.as_str() {
            "entry" => spec.entry = value,
            "programmatic" => spec.programmatic = value == "yes",
            "grid" => spec.grid = number(&value)? as u32,
            "block" => spec.block = number(&value)? as u32,
            "cluster" => spec.cluster = number(&value)? as u32,
            "dynamic" => spec.dynamic = number(&value)? as u32,
            other => return Err(format!("unknown key {other}")),
        }
    }
    Ok(spec)
}

fn buffer(value: &str) -> Result<Buffer, String> {
    let words: Vec<&str> = value.split(' ').collect();
    let [name, shape, fill] = words[..] else {
        return Err("needs name, type[count] and fill".into());
    };
    let (ty, count) = shape
        .trim_end_matches(']')
        .split_once('[')
        .ok_or("needs type[count]")?;
    let fill = match fill.split_once('=') {
        Some((_, value)) => Fill::Value(number(value)?),
        None if fill == "iota" => Fill::Iota,
        None if fill == "zero" => Fill::Value(0),
        None => Fill::Poison,
    };
    let element_bytes = number(ty.trim_start_matches('u'))? as usize / 8;
    Ok(Buffer {
        name: name.into(),
        element_bytes,
        count: number(count)? as usize,
        fill,
    })
}

fn map(value: &str) -> Map {
    let fields = fields(value);
    let in_global = fields.get("place").is_some_and(|p| p == "global");
    Map {
        name: value.split(' ').next().unwrap_or_default().into(),
        in_global,
        fields,
    }
}
