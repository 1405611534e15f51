//! Nothing goes wrong quietly: every driver call fails once, every kind of damage to a library, every kind of device
//! that cannot run a kernel. Each has an error of its own, and what was there before still works.

mod gpu;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gpu::{
    Operands, all_live, edit_list, edit_manifest, fail, in_child, library, run_and_check, shipped,
    tiny, with_driver,
};
use nvfp4gen::artifact::{StoreError, store};
use nvfp4gen::plan::target::{SM_100A, SM_103A};
use nvfp4gen::problem::Set;
use nvfp4gen::runtime::{Device, Error, Event, Graph, Image, Kernel, Library, Notice, Stream};

/// Everything that the library does with a driver, once, and all of it given back.
fn everything(home: &Path, set: &Set) -> Result<(), Error> {
    let library = Library::open(home)?;
    let device = Device::new(0)?;
    let kernel = library.load(&device, &set.key())?;
    let stream = Stream::new(&device)?;
    let data = Operands::new(&device, &stream, set, 1)?;
    let (start, end) = (Event::new(&device)?, Event::new(&device)?);
    let mut launch = kernel.prepare();
    start.record(&stream)?;
    run_and_check(&mut launch, &stream, &data)?;
    end.record(&stream)?;
    end.microseconds_since(&start)?;
    let mut graph = Graph::record(&launch)?;
    graph.update(&launch)?;
    graph.replay(&stream)?;
    data.check(&stream)
}

/// Calls that only give something back. If the driver refuses them there is nobody to tell, and what they were to free
/// may remain.
const CLEANUP: [&str; 7] = [
    "cuModuleUnload",
    "cuMemFree_v2",
    "cuStreamDestroy_v2",
    "cuEventDestroy_v2",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuDevicePrimaryCtxRelease_v2",
];

#[test]
fn every_driver_call_fails_once() {
    let name = "every_driver_call_fails_once";
    with_driver(name, &[], || {
        let set = tiny();
        let home = library(&[&set]);
        everything(home.path(), &set).unwrap();
        let clean = all_live();
        assert!(clean.iter().all(|(_, count)| *count == 0), "{clean:?}");
        let mut failed = BTreeSet::new();
        // Consecutive rounds in which nothing was reported.
        let mut quiet = 0;
        for nth in 1.. {
            let before = all_live();
            fail(&format!("*:{nth}:CUDA_ERROR_UNKNOWN"));
            let done = everything(home.path(), &set);
            fail("");
            let leaked = all_live() != before;
            match done {
                Err(Error::Call(error) | Error::Jit { error, .. }) => {
                    assert_eq!(error.code, 999);
                    assert!(!CLEANUP.contains(&error.call), "{error}");
                    assert!(!leaked, "call {nth}, {error}: {before:?}, {:?}", all_live());
                    failed.insert(error.call);
                    quiet = 0;
                }
                Err(other) => panic!("call {nth}: {other}"),
                // More than are made to give everything back: there was no such call.
                Ok(()) if quiet > 100 => break,
                Ok(()) => quiet += 1,
            }
            everything(home.path(), &set).unwrap();
        }
        let expected = [
            "cuCtxGetCurrent",
            "cuCtxPopCurrent_v2",
            "cuCtxPushCurrent_v2",
            "cuCtxSetCurrent",
            "cuDeviceGet",
            "cuDeviceGetAttribute",
            "cuDeviceGetCount",
            "cuDeviceGetName",
            "cuDevicePrimaryCtxRetain",
            "cuDeviceTotalMem_v2",
            "cuDriverGetVersion",
            "cuEventCreate",
            "cuEventElapsedTime",
            "cuEventRecord",
            "cuEventSynchronize",
            "cuFuncGetParamInfo",
            "cuFuncSetAttribute",
            "cuGraphExecKernelNodeSetParams_v2",
            "cuGraphGetNodes",
            "cuGraphInstantiateWithFlags",
            "cuGraphLaunch",
            "cuInit",
            "cuLaunchKernelEx",
            "cuMemAlloc_v2",
            "cuMemcpyDtoHAsync_v2",
            "cuMemcpyHtoDAsync_v2",
            "cuMemsetD8Async",
            "cuModuleGetFunction",
            "cuModuleLoadDataEx",
            "cuStreamBeginCapture_v2",
            "cuStreamCreate",
            "cuStreamEndCapture",
            "cuStreamSynchronize",
            "cuTensorMapEncodeTiled",
        ];
        assert_eq!(failed.into_iter().collect::<Vec<_>>(), expected);
    });
}

/// Opens a library that `damage` has been done to, and loads its kernel.
fn after(damage: impl FnOnce(&Path)) -> Result<Kernel, Error> {
    let set = tiny();
    let home = library(&[&set]);
    damage(&home.path().join("sm_100a"));
    let library = Library::open(home.path())?;
    library.load(&Device::new(0)?, &set.key())
}

fn ptx_file(directory: &Path) -> std::path::PathBuf {
    directory.join(format!("{}.ptx", tiny().key()))
}

#[test]
fn damaged_libraries_are_refused() {
    with_driver("damaged_libraries_are_refused", &[], || {
        assert!(after(|_| ()).is_ok());
        let manifest = |error: Result<Kernel, Error>| match error {
            Err(Error::Library(StoreError::Manifest { reason, .. })) => reason,
            other => panic!("{other:?}"),
        };
        for cut in [1, 40, 200, 2000] {
            let reason = manifest(after(|directory| {
                let path = directory.join("manifest.toml");
                let text = fs::read(&path).unwrap();
                fs::write(&path, &text[..text.len() - cut.min(text.len())]).unwrap();
            }));
            assert!(
                reason.contains("truncated") || reason.contains("not a manifest"),
                "{reason}"
            );
        }
        let write = |text: &'static str| {
            move |directory: &Path| fs::write(directory.join("manifest.toml"), text).unwrap()
        };
        assert!(manifest(after(write(""))).contains("not a manifest"));
        assert!(manifest(after(write("[package]\nname = \"other\"\n"))).contains("not a manifest"));
        let later = |directory: &Path| {
            edit_manifest(directory, |text| text.replace("format = 1", "format = 2"));
        };
        assert!(manifest(after(later)).contains("format 2"));
        let outside = |directory: &Path| {
            edit_manifest(directory, |text| text.replace("file = \"", "file = \"../"));
        };
        assert!(manifest(after(outside)).contains("not a plain .ptx file name"));

        let text = after(|directory| fs::write(ptx_file(directory), ".version 8.7").unwrap());
        assert!(
            matches!(
                text,
                Err(Error::Library(StoreError::Corrupted { bytes: 12, .. }))
            ),
            "{text:?}"
        );
        let text = after(|directory| fs::remove_file(ptx_file(directory)).unwrap());
        assert!(
            matches!(text, Err(Error::Library(StoreError::Missing { .. }))),
            "{text:?}"
        );
        let none = after(|directory| fs::remove_file(directory.join("manifest.toml")).unwrap());
        assert!(
            matches!(none, Err(Error::Library(StoreError::Absent(_)))),
            "{none:?}"
        );
        assert!(matches!(
            Library::open("/nowhere"),
            Err(Error::Library(StoreError::Absent(_)))
        ));
        assert!(matches!(
            Library::open("Cargo.toml"),
            Err(Error::Library(StoreError::Io { .. }))
        ));
        assert_eq!(gpu::live("modules"), 0);
    });
}

#[test]
fn manifests_that_contradict_the_kernel_are_refused() {
    with_driver(
        "manifests_that_contradict_the_kernel_are_refused",
        &[],
        || {
            let edited = |from: &str, to: &str| {
                let done = after(|directory| {
                    edit_manifest(directory, |text| {
                        assert!(text.contains(from), "{text}");
                        text.replacen(from, to, 1)
                    });
                });
                match done {
                    Err(Error::Inconsistent { reason, .. }) => reason,
                    other => panic!("{from} -> {to}: {other:?}"),
                }
            };
            let reason = edited("function = \"nvfp4_", "function = \"other_");
            assert!(reason.contains("no function other_"), "{reason}");
            let reason = edited("bytes = 280", "bytes = 288");
            assert!(reason.contains("takes 280 bytes"), "{reason}");
            assert!(edited("bytes = 280", "bytes = 272").contains("not in its parameter block"));
            assert!(edited("bytes = 280", "bytes = 40000").contains("40000"));
            assert!(edited("offset = 264", "offset = 260").contains("offset 260"));
            assert!(edited("operand = \"sfa\"", "operand = \"sfb\"").contains("slot for each"));
            assert!(edited("group = 0", "group = 1").contains("group 1"));
            assert!(edited("m = [1]", "m = [1, 1]").contains("differ in length"));
            assert!(edited("element = \"u8\"", "element = \"u7\"").contains("u7"));
            assert!(edited("swizzle = 128", "swizzle = 100").contains("swizzle"));
            assert!(edited("strides = [32]", "strides = []").contains("lists"));
            assert_eq!(gpu::live("modules"), 0);
        },
    );
}

#[test]
fn a_library_that_was_rebuilt_says_so() {
    with_driver("a_library_that_was_rebuilt_says_so", &[], || {
        let sets = [tiny(), shipped("contest-tests.toml", "T1")];
        let home = library(&[&sets[0]]);
        let old = Library::open(home.path()).unwrap();
        let device = Device::new(0).unwrap();
        let directory = home.path().join("sm_100a");
        let kernels = [gpu::compile(&sets[1], SM_100A)];
        store::write(&directory, "sm_100a", &kernels).unwrap();
        let gone = old.load(&device, &sets[0].key()).unwrap_err();
        assert!(matches!(gone, Error::Rebuilt { .. }), "{gone}");
        let new = Library::open(home.path()).unwrap();
        assert!(new.load(&device, &sets[1].key()).is_ok());
    });
}

/// Two builds take turns while kernels are loaded: what is loaded is whole, or the library says that it was replaced.
#[test]
fn loading_while_others_build_gives_the_old_or_the_new() {
    with_driver(
        "loading_while_others_build_gives_the_old_or_the_new",
        &[],
        || {
            let set = tiny();
            let home = library(&[&set]);
            let directory = home.path().join("sm_100a");
            let one = gpu::compile(&set, SM_100A);
            let other =
                nvfp4gen::artifact::Kernel::new(one.entry.clone(), format!("{}// new\n", one.ptx));
            let device = Device::new(0).unwrap();
            let done = std::sync::atomic::AtomicBool::new(false);
            let (mut whole, mut replaced) = (0, 0);
            std::thread::scope(|scope| {
                for kernel in [one, other] {
                    let (directory, done) = (&directory, &done);
                    scope.spawn(move || {
                        while !done.load(std::sync::atomic::Ordering::Relaxed) {
                            let kernels = std::slice::from_ref(&kernel);
                            store::write(directory, "sm_100a", kernels).unwrap();
                        }
                    });
                }
                for _ in 0..200 {
                    let library = Library::open(home.path());
                    match library.and_then(|library| library.load(&device, &set.key())) {
                        Ok(_) => whole += 1,
                        Err(Error::Rebuilt { .. }) => replaced += 1,
                        Err(error) => {
                            done.store(true, std::sync::atomic::Ordering::Relaxed);
                            panic!("{error}");
                        }
                    }
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            println!("{whole} loaded, {replaced} replaced meanwhile");
            assert!(whole > 0);
        },
    );
}

#[test]
fn what_the_driver_says_of_bad_text_is_passed_on() {
    with_driver("what_the_driver_says_of_bad_text_is_passed_on", &[], || {
        let done = after(|directory| {
            let path = ptx_file(directory);
            let good = fs::read_to_string(&path).unwrap();
            let bad = good.replacen("bar.sync", "bar.sing", 1);
            fs::write(&path, &bad).unwrap();
            edit_manifest(directory, |text| {
                text.replace(
                    &nvfp4gen::artifact::sha256(&good),
                    &nvfp4gen::artifact::sha256(&bad),
                )
            });
        });
        match done {
            Err(Error::Jit { log, .. }) => assert!(log.contains("bar.sing"), "{log}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_key_that_is_not_there_names_its_neighbours() {
    with_driver("a_key_that_is_not_there_names_its_neighbours", &[], || {
        let sets = ["P1", "P2", "P3", "P4"].map(|name| shipped("leaderboard.toml", name));
        let home = library(&sets.each_ref());
        let library = Library::open(home.path()).unwrap();
        let device = Device::new(0).unwrap();
        let key = "g2_m192-320_n3072_k4096_f16_dynamic";
        let Err(Error::Missing(missing)) = library.load(&device, key) else {
            panic!("it is not there");
        };
        assert_eq!(missing.nearest.len(), 3);
        assert_eq!(missing.nearest[0].0, "P3");
        assert_eq!(missing.nearest[1].0, "P4");
        let text = missing.to_string();
        assert!(
            text.contains("m = [192, 320]") && text.contains("weights = \"dynamic\""),
            "{text}"
        );
        let set = Set {
            name: "mine".into(),
            ..sets[0].clone()
        };
        assert!(
            library.load_set(&device, &set).is_ok(),
            "the name does not matter"
        );
    });
}

#[test]
fn machine_code_is_tried_first_and_may_be_refused() {
    with_driver(
        "machine_code_is_tried_first_and_may_be_refused",
        &[],
        || {
            let cubin = b"\x7fELF, of a device that nobody has";
            // Writes the library again, its kernel with this machine code.
            let add = |directory: &Path| {
                let (manifest, mut kernels) = store::read(directory).unwrap();
                kernels[0].cubin = Some(cubin.to_vec());
                store::write(directory, &manifest.target, &kernels).unwrap();
            };
            let file = |directory: &Path| ptx_file(directory).with_extension("cubin");
            let refused = after(add).unwrap();
            assert_eq!(refused.image(), Image::Ptx);
            let [Notice::CubinRefused { reason }] = refused.notices() else {
                panic!("{:?}", refused.notices());
            };
            assert!(reason.contains("NO_BINARY_FOR_GPU"), "{reason}");
            // A copy of the library without machine code is whole; one with other machine code is not.
            let without = after(|directory| {
                add(directory);
                fs::remove_file(file(directory)).unwrap();
            });
            assert!(without.unwrap().notices().is_empty());
            let other = after(|directory| {
                add(directory);
                fs::write(file(directory), b"\x7fELF").unwrap();
            });
            assert!(
                matches!(other, Err(Error::Library(StoreError::Corrupted { .. }))),
                "{other:?}"
            );
            // Machine code of other text, as after a checkout, is not tried; nor is that of another architecture.
            let edit = |from: &'static str, to: &'static str| {
                after(move |directory| {
                    add(directory);
                    edit_list(directory, store::CUBINS, |text| text.replace(from, to));
                })
                .unwrap()
            };
            let stale = edit("ptx_sha256 = \"", "ptx_sha256 = \"0");
            assert!(stale.notices().is_empty());
            assert!(edit("sm_100a", "sm_103a").notices().is_empty());
            let damaged = after(|directory| {
                add(directory);
                fs::write(directory.join(store::CUBINS), "").unwrap();
            });
            assert!(
                matches!(damaged, Err(Error::Library(StoreError::Manifest { .. }))),
                "{damaged:?}"
            );
        },
    );
}

#[test]
fn without_a_driver_there_is_an_error_and_no_panic() {
    in_child(
        "without_a_driver_there_is_an_error_and_no_panic",
        "",
        &[],
        || {
            match Device::new(0) {
                Err(Error::NoDriver) => {}
                // A machine with a driver of its own.
                Ok(device) => println!("skipped: {device:?}"),
                Err(other) => println!("skipped: {other}"),
            }
            // What needs no driver works.
            let set = tiny();
            let home = library(&[&set]);
            let library = Library::open(home.path()).unwrap();
            assert_eq!(library.kernels().next().unwrap().1.key, set.key());
        },
    );
}

#[test]
fn without_a_device_there_is_an_error() {
    let none = [("PTXEMU_DEVICES", "0")];
    with_driver("without_a_device_there_is_an_error", &none, || {
        let error = Device::new(0).unwrap_err();
        assert!(matches!(error, Error::NoDevice(_)), "{error}");
    });
}

#[test]
fn a_device_that_is_not_there_is_named() {
    with_driver("a_device_that_is_not_there_is_named", &[], || {
        assert_eq!(Device::count().unwrap(), 1);
        let error = Device::new(1).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NoSuchDevice {
                    ordinal: 1,
                    count: 1
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn another_architecture_is_refused() {
    let hopper = [("PTXEMU_CAPABILITY", "9.0")];
    with_driver("another_architecture_is_refused", &hopper, || {
        let error = after(|_| ()).unwrap_err();
        let expected = matches!(&error, Error::Architecture { targets, capability: (9, 0), .. }
            if targets == &["sm_100a"]);
        assert!(expected, "{error}");
    });
}

#[test]
fn of_several_targets_the_right_one_is_loaded() {
    let ultra = [("PTXEMU_CAPABILITY", "10.3")];
    with_driver("of_several_targets_the_right_one_is_loaded", &ultra, || {
        let set = tiny();
        let home = library(&[&set]);
        let directory = home.path().join(SM_103A.name);
        let kernels = [gpu::compile(&set, SM_103A)];
        store::write(&directory, SM_103A.name, &kernels).unwrap();
        let library = Library::open(home.path()).unwrap();
        let device = Device::new(0).unwrap();
        assert_eq!(library.kernels().count(), 2);
        assert_eq!(library.keys_for(&device).count(), 1);
        let kernel = library.load(&device, &set.key()).unwrap();
        assert_eq!(kernel.entry().ptx_version, SM_103A.ptx_version);
    });
}

/// Changes what a schedule expects of the device in the one kernel of a library.
fn expect(schedule: &'static str) -> impl FnOnce(&Path) {
    move |directory| {
        edit_manifest(directory, |text| {
            text.replacen("tuned_sms = 148, co_resident = false", schedule, 1)
                .replacen("grid = [1, 1, 1]", "grid = [9, 1, 1]", 1)
        });
    }
}

#[test]
fn too_few_multiprocessors_are_refused_only_where_it_matters() {
    let few = [("PTXEMU_SM_COUNT", "8")];
    with_driver(
        "too_few_multiprocessors_are_refused_only_where_it_matters",
        &few,
        || {
            let error = after(expect("tuned_sms = 9, co_resident = true")).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Multiprocessors {
                        needs: 9,
                        has: 8,
                        ..
                    }
                ),
                "{error}"
            );
            let kernel = after(expect("tuned_sms = 9")).unwrap();
            assert_eq!(
                kernel.notices(),
                [Notice::TunedForOther { tuned: 9, has: 8 }]
            );
            assert!(after(expect("tuned_sms = 8")).unwrap().notices().is_empty());
        },
    );
}

#[test]
fn a_driver_too_old_for_the_text_is_refused() {
    let old = [("PTXEMU_DRIVER_VERSION", "12.6")];
    with_driver("a_driver_too_old_for_the_text_is_refused", &old, || {
        let error = after(|_| ()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::PtxVersion {
                    needs: 12080,
                    has: 12060,
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn a_driver_too_old_for_large_parameters_is_refused() {
    let old = [("PTXEMU_DRIVER_VERSION", "12.0")];
    with_driver(
        "a_driver_too_old_for_large_parameters_is_refused",
        &old,
        || {
            let set = shipped("edge.toml", "thirty-two-groups");
            let home = library(&[&set]);
            let library = Library::open(home.path()).unwrap();
            let error = library
                .load(&Device::new(0).unwrap(), &set.key())
                .unwrap_err();
            assert!(
                matches!(error, Error::ParameterBytes { has: 12000, .. }),
                "{error}"
            );
        },
    );
}
