//! Recipes: a kernel, its launch, its data and what must come out of it, as JSON beside safetensors files.
//!
//! A recipe names a PTX file and an entry, the launch, the parameters in PTX order, the buffers, and for each data file
//! which outputs to compare with which tensors, and how. Arrays hold raw bits; a buffer's `dtype` says what they mean.

mod compare;
mod data;
mod node;
mod params;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Device, DeviceConfig, Launch, LoadError, Module, Report, Schedule, Stop};
pub use compare::Compared;
use compare::Comparison;
use data::DataFile;
use node::Node;
use params::{Param, SCRATCH};

/// What is wrong with a recipe or its files: where and what belongs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeError {
    /// The recipe or the data file.
    pub file: PathBuf,
    /// The key of the JSON or the tensor; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl RecipeError {
    fn at(file: &Path, key: &str, message: impl Into<String>) -> Self {
        RecipeError {
            file: file.into(),
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RecipeError {}

/// Why a recipe cannot be opened.
#[derive(Clone, Debug, PartialEq)]
pub enum OpenError {
    /// The recipe or one of its files is wrong.
    Recipe(RecipeError),
    /// The PTX cannot be loaded.
    Load(LoadError),
}

impl From<RecipeError> for OpenError {
    fn from(e: RecipeError) -> Self {
        OpenError::Recipe(e)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Recipe(e) => e.fmt(f),
            OpenError::Load(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a run gave no outputs to compare.
#[derive(Clone, Debug, PartialEq)]
pub enum RunError {
    /// The launch stopped.
    Stop(Stop),
    /// The data do not fit the recipe.
    Recipe(RecipeError),
}

impl From<RecipeError> for RunError {
    fn from(e: RecipeError) -> Self {
        RunError::Recipe(e)
    }
}

impl From<Stop> for RunError {
    fn from(e: Stop) -> Self {
        RunError::Stop(e)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Stop(e) => e.fmt(f),
            RunError::Recipe(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

struct Buffer {
    name: String,
    dtype: String,
    initial: String,
}

struct Run {
    name: String,
    data: DataFile,
    compare: Vec<Comparison>,
}

/// A recipe with its module and its data.
pub struct Recipe {
    module: Module,
    launch: Launch,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    scratch_bytes: usize,
    runs: Vec<Run>,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipe({}, {})", self.module.name(), self.launch.entry)
    }
}

/// What one launch with one data file did.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What the launch counted.
    pub report: Report,
    /// One for each comparison of the run.
    pub compared: Vec<Compared>,
}

impl Outcome {
    /// True if every element of every output is right.
    pub fn is_right(&self) -> bool {
        self.compared.iter().all(|c| c.wrong == 0)
    }
}

impl Recipe {
    /// Reads a recipe and all its files, and loads its module.
    pub fn open(path: &Path) -> Result<Recipe, OpenError> {
        let text = read_text(path)?;
        let json = serde_json::from_str(&text)
            .map_err(|e| RecipeError::at(path, "", format!("is not JSON: {e}")))?;
        let root = Node::root(path, &json);
        let folder = path.parent().unwrap_or(Path::new("."));
        let buffers = buffers(&root.get("buffers")?)?;
        let names: Vec<&str> = buffers.iter().map(|b| b.name.as_str()).collect();
        let params = root.get("params")?.items()?;
        let params = params
            .iter()
            .map(|p| Param::read(p, &names))
            .collect::<Result<_, _>>()?;
        let runs = root.get("runs")?.items()?;
        let runs = runs
            .iter()
            .map(|r| run(r, folder, &names))
            .collect::<Result<_, _>>()?;
        let scratch = root
            .optional("scratch_bytes")
            .map_or(Ok(0), |n| n.integer())?;
        let ptx = folder.join(root.get("ptx")?.text()?);
        let module =
            Module::load(&ptx.display().to_string(), &read_text(&ptx)?).map_err(OpenError::Load)?;
        let launch = launch(&root, &module)?;
        Ok(Recipe {
            module,
            launch,
            params,
            buffers,
            scratch_bytes: scratch,
            runs,
        }
        .checked(&root)?)
    }

    /// The names of the data files, one per run.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.runs.iter().map(|r| r.name.as_str())
    }

    /// The parameters must have the sizes that the entry declares.
    fn checked(self, root: &Node<'_>) -> Result<Recipe, RecipeError> {
        let node = root.get("params")?;
        let layout = self.module.params(&self.launch.entry).unwrap_or_default();
        if layout.len() != self.params.len() {
            let (has, wants) = (self.params.len(), layout.len());
            return Err(node.error(format!("has {has} entries, the entry takes {wants}")));
        }
        for ((param, place), node) in self.params.iter().zip(layout).zip(node.items()?) {
            let len = param.bytes(|_| 0).len();
            if len != place.bytes as usize {
                let (name, wants) = (&place.name, place.bytes);
                return Err(node.error(format!("has {len} bytes, `{name}` has {wants}")));
            }
        }
        Ok(self)
    }

    /// Runs one data file (`index` in the order of [`Recipe::runs`]) under a schedule on a
    /// device of its own, and compares all outputs.
    pub fn run(
        &self,
        index: usize,
        schedule: Schedule,
        config: &DeviceConfig,
    ) -> Result<Outcome, RunError> {
        let Some(run) = self.runs.get(index) else {
            let message = format!(
                "the recipe has {} runs, not number {index}",
                self.runs.len()
            );
            return Err(Stop::Usage(message).into());
        };
        let mut device = Device::new(config.clone());
        let places = self.allocate(&mut device, &run.data)?;
        let mut launch = self.launch.clone();
        launch.params = self.parameter_block(&places);
        let report = device.launch(&self.module, &launch, schedule)?;
        let mut compared = Vec::new();
        for comparison in &run.compare {
            let (address, bytes) = places[&comparison.output];
            let got = device.read(address, bytes)?;
            compared.push(comparison.compare(&run.data, self.dtype(&comparison.output), &got)?);
        }
        Ok(Outcome { report, compared })
    }

    fn dtype(&self, buffer: &str) -> &str {
        let found = self.buffers.iter().find(|b| b.name == buffer);
        found.map_or("", |b| &b.dtype)
    }

    /// Address and size of each buffer.
    fn allocate(&self, device: &mut Device, data: &DataFile) -> Result<Places, RunError> {
        let mut places = Places::new();
        for buffer in &self.buffers {
            let initial = data.tensor(&buffer.initial)?.bytes;
            let address = device.allocate(&buffer.name, initial.len(), 0);
            device.write(address, initial)?;
            places.insert(buffer.name.clone(), (address, initial.len()));
        }
        let scratch = device.allocate(SCRATCH, self.scratch_bytes, 0);
        places.insert(SCRATCH.into(), (scratch, self.scratch_bytes));
        Ok(places)
    }

    fn parameter_block(&self, places: &Places) -> Vec<u8> {
        let layout = self.module.params(&self.launch.entry).unwrap_or_default();
        let end = layout.last().map_or(0, |p| p.offset + p.bytes);
        let mut block = vec![0; end as usize];
        for (place, param) in layout.iter().zip(&self.params) {
            let bytes = param.bytes(|buffer| places.get(buffer).map_or(0, |p| p.0));
            block[place.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        block
    }
}

/// Address and size in bytes of each buffer by its name.
type Places = BTreeMap<String, (u64, usize)>;

fn read_text(path: &Path) -> Result<String, RecipeError> {
    std::fs::read_to_string(path).map_err(|e| RecipeError::at(path, "", e.to_string()))
}

fn buffers(node: &Node<'_>) -> Result<Vec<Buffer>, RecipeError> {
    let buffer = |(name, node): (&str, Node<'_>)| {
        Ok(Buffer {
            name: name.into(),
            dtype: node.get("dtype")?.text()?.into(),
            initial: node.get("initial")?.text()?.into(),
        })
    };
    node.entries()?.into_iter().map(buffer).collect()
}

fn run(node: &Node<'_>, folder: &Path, buffers: &[&str]) -> Result<Run, RecipeError> {
    let name = node.get("data")?.text()?;
    let compare = node.get("compare")?.items()?;
    let compare = compare.iter().map(|c| {
        let comparison = Comparison::read(c)?;
        if buffers.contains(&comparison.output.as_str()) {
            return Ok(comparison);
        }
        Err(c.error(format!(
            "compares `{}`, which is no buffer",
            comparison.output
        )))
    });
    let compare: Vec<_> = compare.collect::<Result<_, _>>()?;
    if compare.is_empty() {
        return Err(node.error("compares nothing; name at least one output under `compare`"));
    }
    Ok(Run {
        name: name.into(),
        data: DataFile::read(&folder.join(name))?,
        compare,
    })
}

fn launch(root: &Node<'_>, module: &Module) -> Result<Launch, RecipeError> {
    let entry = root.get("entry")?;
    let name = entry.text()?;
    if !module.entries().any(|e| e == name) {
        let known: Vec<_> = module.entries().collect();
        return Err(entry.error(format!(
            "names `{name}`, the module has {}",
            known.join(", ")
        )));
    }
    let launch = root.get("launch")?;
    Ok(Launch {
        entry: name.into(),
        grid: launch.get("grid")?.integers(1)?,
        block: launch.get("block")?.integers(1)?,
        cluster: launch
            .optional("cluster")
            .map_or(Ok([1; 3]), |n| n.integers(1))?,
        dynamic_shared: launch
            .optional("dynamic_smem_bytes")
            .map_or(Ok(0), |n| n.integer())?,
        params: Vec::new(),
        programmatic: false,
    })
}
