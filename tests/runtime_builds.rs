//! Builds by the real command, two at once and killed at random points, beside a process that loads in a loop: it sees
//! the old library or the new one, whole.

mod desk;
mod gpu;

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use desk::Desk;
use gpu::with_driver;
use nvfp4gen::runtime::{Device, Error, Library};

const ROUNDS: u64 = 40;

/// Three sets, whose names say which of two versions of the library they are of. The sizes are the same, and so are keys
/// and file names.
fn shapes(version: &str) -> String {
    let set = |(index, m): (usize, u32)| {
        format!("[[set]]\nname = \"{version}-{index}\"\nm = [{m}, 1]\nn = 136\nk = 192\n\n")
    };
    [9, 40, 130].into_iter().enumerate().map(set).collect()
}

fn start(desk: &Desk, line: &str) -> Child {
    let mut command = desk.command(line);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Opens the library and loads all of it. The version that was loaded; None if it was replaced meanwhile.
fn load(desk: &Desk, device: &Device) -> Option<String> {
    let library = Library::open(desk.path("generated")).unwrap();
    let version = |name: &str| name.split_once('-').unwrap().0.to_owned();
    let versions: Vec<_> = library
        .kernels()
        .map(|(_, kernel)| version(&kernel.name))
        .collect();
    assert!(
        versions.len() == 3 && versions.iter().all(|other| *other == versions[0]),
        "{versions:?}"
    );
    match library.load_all(device) {
        Ok(kernels) => {
            assert_eq!(kernels.len(), 3);
            Some(versions[0].clone())
        }
        Err(Error::Rebuilt { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn killed_builds_leave_the_old_or_the_new_library_whole() {
    with_driver(
        "killed_builds_leave_the_old_or_the_new_library_whole",
        &[],
        || {
            let desk = Desk::new(&shapes("old"));
            std::fs::write(desk.path("new.toml"), shapes("new")).unwrap();
            let begun = Instant::now();
            assert_eq!(desk.run("build shapes.toml").0, 0);
            let a_build = begun.elapsed();
            let device = Device::new(0).unwrap();
            let done = AtomicBool::new(false);
            let loads = std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut loads = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        loads.push(load(&desk, &device));
                    }
                    loads
                });
                let mut killed = 0;
                let mut state = 1_u64;
                for _ in 0..ROUNDS {
                    let mut builds = [
                        start(&desk, "build shapes.toml"),
                        start(&desk, "build new.toml"),
                    ];
                    for build in &mut builds {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        // Two builds at once, and a reader, take up to three times as long as one alone.
                        let share = (state >> 40) as f64 / f64::from(1 << 24);
                        std::thread::sleep(Duration::from_secs_f64(
                            1.5 * share * a_build.as_secs_f64(),
                        ));
                        build.kill().unwrap();
                        killed += usize::from(!build.wait().unwrap().success());
                    }
                }
                done.store(true, Ordering::Relaxed);
                assert!(killed > 10, "only {killed} builds were still running");
                reader.join().unwrap()
            });
            let count =
                |version: Option<&str>| loads.iter().filter(|l| l.as_deref() == version).count();
            let (old, new, replaced) = (count(Some("old")), count(Some("new")), count(None));
            println!(
                "{old} loads of the old library, {new} of the new, {replaced} replaced meanwhile"
            );
            assert!(old > 0 && new > 0);
            // What the killed ones left behind is hidden, and no build minds it.
            assert_eq!(desk.run("build new.toml").0, 0);
            assert_eq!(load(&desk, &device).as_deref(), Some("new"));
            assert_eq!(desk.run("build new.toml --check").0, 0);
            for entry in std::fs::read_dir(desk.path("generated")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(
                    name == "sm_100a" || name.starts_with(".sm_100a.partial-"),
                    "{name}"
                );
            }
        },
    );
}
