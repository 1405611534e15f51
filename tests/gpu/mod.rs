//! Tests over the emulated driver: each body runs in a child process whose loader finds it, with an environment of its
//! own, through the same code that a GPU's driver takes.

// Asks the emulated driver how many objects live, and has it fail on demand.
#![allow(unsafe_code)]
#![allow(dead_code)]

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cudarc::driver::sys;
use nvfp4gen::artifact::{Kernel as Text, sha256, store};
use nvfp4gen::plan::target::{SM_100A, Target};
use nvfp4gen::problem::{Set, ShapeFile};
use nvfp4gen::runtime::{Buffer, Device, Error, Kernel, Launch, Pointers, Stream};
use nvfp4gen::verify::{Data, GroupInputs, Summation, check_group, draw};
use nvfp4gen::{choose, emit};
use tempfile::TempDir;

/// Set in child processes.
const CHILD: &str = "NVFP4GEN_TEST_CHILD";

/// A folder that holds the emulated driver under the name that loaders ask for.
pub fn driver_folder() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    // Cargo puts shared libraries that a test depends on beside it.
    let library = match std::env::var_os("NVFP4GEN_TEST_DRIVER") {
        Some(path) => PathBuf::from(path),
        None => own.with_file_name("libcuda.so"),
    };
    assert!(library.exists(), "{} is not there", library.display());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-driver");
    std::fs::create_dir_all(&folder).expect("a folder for links");
    for name in ["libcuda.so", "libcuda.so.1"] {
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == library) {
            continue;
        }
        // Tests run side by side: make the link under a name of our own, then rename.
        let fresh = tempfile::Builder::new()
            .tempdir_in(&folder)
            .expect("a name");
        std::os::unix::fs::symlink(&library, fresh.path().join(name)).expect("a link");
        std::fs::rename(fresh.path().join(name), &link).expect("the link in its place");
    }
    folder
}

/// Runs `body` in a child process with the emulated driver. `test` is the calling test's name in its binary.
pub fn with_driver(test: &str, environment: &[(&str, &str)], body: impl FnOnce()) {
    let folder = driver_folder();
    in_child(
        test,
        folder.to_str().expect("a path of text"),
        environment,
        body,
    );
}

/// Runs `body` in a child process whose loader looks for libraries in `folder` first. Gives what it wrote to stderr.
pub fn in_child(
    test: &str,
    folder: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<String> {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        body();
        return None;
    }
    let output = child(test, folder, environment);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{test} in its child process: {}\n{out}\n{err}",
        output.status
    );
    Some(err)
}

fn child(test: &str, folder: &str, environment: &[(&str, &str)]) -> Output {
    let own = std::env::current_exe().expect("the test's own path");
    let mut command = Command::new(own);
    command.args([test, "--exact", "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PTXEMU_")) {
        command.env_remove(name);
    }
    command
        .env("LD_LIBRARY_PATH", folder)
        .env(CHILD, test)
        .envs(environment.iter().copied())
        .output()
        .expect("the child process")
}

/// How many objects of a kind the emulated driver holds.
pub fn live(kind: &str) -> u64 {
    let kind = CString::new(kind).unwrap();
    // SAFETY: the symbol has this type in the emulated driver, which is loaded.
    unsafe {
        let symbol = sys::culib().get::<unsafe extern "C" fn(*const c_char) -> u64>(b"ptxemu_live");
        symbol.expect("the emulated driver")(kind.as_ptr())
    }
}

/// Everything that a leak would leave.
pub fn all_live() -> Vec<(&'static str, u64)> {
    [
        "allocations",
        "contexts",
        "modules",
        "functions",
        "streams",
        "events",
        "graphs",
        "graph_nodes",
        "graph_execs",
    ]
    .map(|kind| (kind, live(kind)))
    .to_vec()
}

/// Has calls fail: `function:N:ERROR`; nothing for an empty text.
pub fn fail(rules: &str) {
    let rules = CString::new(rules).unwrap();
    // SAFETY: the symbol has this type in the emulated driver, which is loaded.
    let refused = unsafe {
        let symbol = sys::culib().get::<unsafe extern "C" fn(*const c_char) -> u32>(b"ptxemu_fail");
        symbol.expect("the emulated driver")(rules.as_ptr())
    };
    assert_eq!(refused, 0);
}

/// A set of a shipped shape file.
pub fn shipped(file: &str, name: &str) -> Set {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shapes")
        .join(file);
    let file = ShapeFile::read(path).expect("a shape file");
    file.get(name).expect("a set").clone()
}

/// The smallest problem there is.
pub fn tiny() -> Set {
    shipped("edge.toml", "one-of-everything")
}

/// The same, where the repository is not at hand.
pub fn tiny_without_files() -> Set {
    use nvfp4gen::problem::{Group, OutputType, Weights};
    Set {
        name: "tiny".into(),
        groups: vec![Group { m: 1, n: 8, k: 64 }],
        output: OutputType::F16,
        weights: Weights::Dynamic,
    }
}

pub fn compile(set: &Set, target: Target) -> Text {
    emit::kernel(&choose::best(set, target).expect("a plan")).expect("a kernel")
}

/// A library directory with the kernels of these sets for sm_100a, as `nvfp4gen build` writes it.
pub fn library(sets: &[&Set]) -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let kernels: Vec<Text> = sets.iter().map(|set| compile(set, SM_100A)).collect();
    store::write(&home.path().join("sm_100a"), "sm_100a", &kernels).expect("a library");
    home
}

/// Changes the text of a manifest and gives it a first line that fits.
pub fn edit_manifest(directory: &Path, edit: impl FnOnce(String) -> String) {
    edit_list(directory, store::MANIFEST, edit);
}

/// The same, of any list in a library.
pub fn edit_list(directory: &Path, name: &str, edit: impl FnOnce(String) -> String) {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let (first, body) = text.split_once('\n').expect("a first line");
    let (mark, _) = first.rsplit_once(' ').expect("a hash");
    let body = edit(body.to_owned());
    std::fs::write(&path, format!("{mark} {}\n{body}", sha256(&body))).expect("a manifest");
}

/// The operands of a set on a device, and what they hold.
pub struct Operands {
    set: Set,
    inputs: Vec<GroupInputs>,
    buffers: Vec<[Buffer; 5]>,
}

impl Operands {
    pub fn new(device: &Device, stream: &Stream, set: &Set, seed: u64) -> Result<Self, Error> {
        let mut inputs = Vec::new();
        let mut buffers = Vec::new();
        for (index, group) in set.groups.iter().enumerate() {
            let drawn = draw::group(group, index, seed, Data::FullRange).expect("inputs");
            let fill = |bytes: &[u8]| Buffer::from_bytes(device, stream, bytes);
            let bytes = group.m as usize * group.n as usize * set.output.bytes() as usize;
            let c = Buffer::new(device, bytes)?;
            c.fill(stream, 0xFF)?;
            buffers.push([
                fill(&drawn.a)?,
                fill(&drawn.b)?,
                fill(&drawn.sfa_blocked)?,
                fill(&drawn.sfb_blocked)?,
                c,
            ]);
            inputs.push(drawn);
        }
        stream.synchronize()?;
        Ok(Operands {
            set: set.clone(),
            inputs,
            buffers,
        })
    }

    pub fn pointers(&self) -> Vec<Pointers> {
        let group = |buffers: &[Buffer; 5]| {
            let [a, b, sfa, sfb, c] = buffers.each_ref().map(Buffer::address);
            // SAFETY: the buffers have the operands' sizes; tests keep them until the work is done.
            unsafe { Pointers::new(a, b, sfa, sfb, c) }
        };
        self.buffers.iter().map(group).collect()
    }

    /// Holds every output to the exact reference.
    pub fn check(&self, stream: &Stream) -> Result<(), Error> {
        self.check_parts(stream, 1)
    }

    /// As [`check`](Self::check), of a kernel that cuts sums over K into so many parts.
    pub fn check_parts(&self, stream: &Stream, parts: u32) -> Result<(), Error> {
        let groups = self.set.groups.iter().zip(&self.inputs).zip(&self.buffers);
        for (index, ((group, inputs), buffers)) in groups.enumerate() {
            let mut got = vec![0; buffers[4].bytes()];
            buffers[4].read(stream, &mut got)?;
            let verdict = check_group(
                index,
                group,
                self.set.output,
                Summation::block_scaled(parts),
                inputs,
                &got,
            )
            .expect("sizes");
            assert!(verdict.passed(), "{}: {verdict:?}", self.set.name);
        }
        Ok(())
    }

    /// Whether nothing has written the outputs.
    pub fn is_untouched(&self, stream: &Stream) -> Result<bool, Error> {
        for [.., c] in &self.buffers {
            let mut got = vec![0; c.bytes()];
            c.read(stream, &mut got)?;
            if got.iter().any(|byte| *byte != 0xFF) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Binds, launches, and checks.
pub fn run_and_check(launch: &mut Launch, stream: &Stream, data: &Operands) -> Result<(), Error> {
    launch.launch(stream, &data.pointers())?;
    stream.synchronize()?;
    data.check(stream)
}

/// A device, a stream and a loaded kernel of the set.
pub fn loaded(set: &Set) -> (Device, Stream, Kernel) {
    let home = library(&[set]);
    let device = Device::new(0).expect("the emulated device");
    let stream = Stream::new(&device).expect("a stream");
    let library = nvfp4gen::runtime::Library::open(home.path()).expect("a library");
    let kernel = library.load(&device, &set.key()).expect("a kernel");
    (device, stream, kernel)
}
