//! The emulated device as a caller of kernels sees it, on small kernels written for these tests.

use nvfp4gen::artifact::manifest::*;
use nvfp4gen::device::{DeviceError, Emulated, GroupBuffers, Schedule, fill};

/// Parameter block: pointers to A, B, SFA, SFB and C of group 0, then to C of group 1.
const HEADER: &str = "
.version 8.7
.target sm_100a
.address_size 64
.visible .entry test(.param .align 64 .b8 block[64])
{
    .reg .b64 %address, %c, %offset;
    .reg .b32 %thread, %value;
    .reg .b16 %half;
    .reg .pred %p;
    mov.u32 %thread, %tid.x;
    ld.param.u64 %c, [block+32];
";

/// Stores f16 1.0 at element `tid` of C of group 0.
const STORE: &str = "
    mul.wide.u32 %offset, %thread, 2;
    add.u64 %c, %c, %offset;
    mov.b16 %half, 0x3c00;
    st.global.b16 [%c], %half;
    ret;
}
";

/// Two groups: 2 x 8 x 64 and 1 x 8 x 64.
fn kernel(body: &str, threads: u32) -> Kernel {
    let slot = |offset, group, operand| PointerSlot {
        offset,
        group,
        operand,
    };
    let entry = KernelEntry {
        key: "test".into(),
        name: "test".into(),
        file: "test.ptx".into(),
        sha256: String::new(),
        function: "test".into(),
        ptx_version: "8.7".into(),
        tiles: 1,
        stages: 1,
        split_k: 1,
        tensor_memory_columns: 0,
        sizes: Sizes {
            m: vec![2, 1],
            n: vec![8, 8],
            k: vec![64, 64],
            output: "f16".into(),
            weights: "dynamic".into(),
        },
        launch: LaunchShape {
            grid: [1, 1, 1],
            block: [threads, 1, 1],
            cluster: [1, 1, 1],
            dynamic_shared: 0,
        },
        schedule: ScheduleFacts::default(),
        parameters: ParameterBlock {
            location: Location::Parameter,
            bytes: 64,
            alignment: 64,
            workspace_bytes: 0,
            workspace_offset: 0,
            tensor_maps: vec![],
            pointers: vec![
                slot(0, 0, Operand::A),
                slot(8, 0, Operand::B),
                slot(16, 0, Operand::Sfa),
                slot(24, 0, Operand::Sfb),
                slot(32, 0, Operand::C),
                slot(40, 1, Operand::C),
            ],
        },
    };
    Kernel::new(entry, format!("{HEADER}{body}"))
}

fn run(kernel: &Kernel) -> Result<Vec<Vec<u8>>, DeviceError> {
    with_groups(|groups| Emulated::load(kernel)?.run(groups, Schedule::Eager))
}

fn with_groups<T>(run: impl FnOnce(&[GroupBuffers]) -> T) -> T {
    let scales = vec![0x38; 512];
    let (a, b) = (vec![0x22; 64], vec![0x11; 256]);
    let first = GroupBuffers {
        a: &a,
        b: &b,
        sfa_blocked: &scales,
        sfb_blocked: &scales,
    };
    let second = GroupBuffers {
        a: &a[..32],
        ..first
    };
    run(&[first, second])
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks(2)
        .map(|pair| half::f16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect()
}

#[test]
fn what_is_stored_comes_back_and_the_rest_is_poison() {
    let outputs = run(&kernel(STORE, 15)).unwrap();
    let c = halves(&outputs[0]);
    assert_eq!(c[..15], [1.0; 15]);
    assert!(
        c[15].is_nan(),
        "what no thread stored is not a number: {}",
        c[15]
    );
    assert!(halves(&outputs[1]).iter().all(|c| c.is_nan()));
}

#[test]
fn inputs_arrive() {
    let body = "
    ld.param.u64 %address, [block+8];
    ld.global.u8 %half, [%address+255];
    st.global.b16 [%c], %half;
    ld.param.u64 %address, [block];
    ld.global.u8 %half, [%address+63];
    st.global.b16 [%c+2], %half;
    ret;
}
";
    assert_eq!(run(&kernel(body, 1)).unwrap()[0][..4], [0x11, 0, 0x22, 0]);
}

/// Callers promise 16 bytes and no more: a kernel that needs 32 must not find them by luck.
#[test]
fn buffers_are_aligned_to_16_bytes_only() {
    let body: String = (0..5)
        .map(|i| {
            format!(
                "
    ld.param.u64 %address, [block+{}];
    cvt.u32.u64 %value, %address;
    and.b32 %value, %value, 31;
    cvt.u16.u32 %half, %value;
    st.global.b16 [%c+{}], %half;",
                8 * i,
                2 * i
            )
        })
        .collect();
    let outputs = run(&kernel(&format!("{body}\n    ret;\n}}\n"), 1)).unwrap();
    assert_eq!(outputs[0][..10], [16, 0, 16, 0, 16, 0, 16, 0, 16, 0]);
}

#[test]
fn a_store_outside_is_told_in_rows_and_columns() {
    let message = run(&kernel(STORE, 17)).unwrap_err().to_string();
    assert!(message.contains("out of bounds"), "{message}");
    assert!(
        message.ends_with("address: group 0, C [2, 8], row 2, column 0 (right behind its end)"),
        "{message}"
    );
    let before = STORE.replace("[%c]", "[%c+-18]");
    let message = run(&kernel(&before, 1)).unwrap_err().to_string();
    assert!(
        message.ends_with("address: group 0, C [2, 8] (18 bytes before its start)"),
        "{message}"
    );
}

#[test]
fn a_wild_store_is_told_as_it_is() {
    let wild = STORE.replace("add.u64 %c, %c, %offset", "mov.u64 %c, 64");
    let error = run(&kernel(&wild, 1)).unwrap_err();
    assert!(
        matches!(&error, DeviceError::Stopped { place: None, .. }),
        "{error}"
    );
}

#[test]
fn without_ctas_nothing_is_launched() {
    let mut kernel = kernel("    trap;\n}\n", 32);
    assert!(matches!(run(&kernel), Err(DeviceError::Stopped { .. })));
    kernel.entry.launch.grid = [0, 1, 1];
    assert_eq!(run(&kernel).unwrap().len(), 2);
}

#[test]
fn text_that_is_no_ptx() {
    let error = run(&kernel("    frobnicate.u32 %value;\n}\n", 1)).unwrap_err();
    assert!(matches!(&error, DeviceError::Load(_)), "{error}");
    assert!(error.to_string().starts_with("test.ptx:"), "{error}");
}

#[test]
fn operands_of_the_wrong_size() {
    let kernel = kernel(STORE, 1);
    let short = GroupBuffers {
        a: &[0; 63],
        b: &[0; 256],
        sfa_blocked: &[0; 512],
        sfb_blocked: &[0; 512],
    };
    let gpu = Emulated::load(&kernel).unwrap();
    let message =
        |groups: &[GroupBuffers]| gpu.run(groups, Schedule::Eager).unwrap_err().to_string();
    assert_eq!(
        message(&[short, short]),
        "0.A: 63 bytes, where the sizes of the set ask for 64"
    );
    assert_eq!(message(&[short]), "1 groups of operands for a set of 2");
}

fn map(operand: Operand) -> TensorMapSlot {
    TensorMapSlot {
        offset: 0,
        group: 0,
        operand,
        element: "u8".into(),
        dims: vec![128, 40],
        strides: vec![128],
        tile: vec![128, 40],
        swizzle: 128,
        l2_promotion: 256,
    }
}

fn block(map: TensorMapSlot) -> ParameterBlock {
    let pointers = vec![PointerSlot {
        offset: 128,
        group: 0,
        operand: Operand::C,
    }];
    ParameterBlock {
        location: Location::Parameter,
        bytes: 136,
        alignment: 64,
        workspace_bytes: 0,
        workspace_offset: 0,
        tensor_maps: vec![map],
        pointers,
    }
}

#[test]
fn the_block_holds_maps_and_pointers_at_their_offsets() {
    let address = |_, operand| {
        Some(if operand == Operand::C {
            0x1234_5678_9ab0
        } else {
            0x7000_0000_0010
        })
    };
    let bytes = fill(&block(map(Operand::A)), address, None).unwrap();
    assert_eq!(bytes.len(), 136);
    assert_eq!(
        bytes[..8],
        0x7000_0000_0010u64.to_le_bytes(),
        "a tensor map begins with its address"
    );
    assert_eq!(bytes[128..], 0x1234_5678_9ab0u64.to_le_bytes());
}

#[test]
fn manifests_that_cannot_be_followed() {
    let refuse = |change: &dyn Fn(&mut ParameterBlock), words: &str| {
        let mut block = block(map(Operand::B));
        change(&mut block);
        let address = |_, operand| (operand != Operand::Sfa).then_some(0x7000_0000_0010);
        let message = fill(&block, address, None).unwrap_err().to_string();
        assert!(
            message.starts_with("the manifest cannot be followed: ") && message.contains(words),
            "{message}"
        );
    };
    refuse(
        &|block| block.bytes = 135,
        "the slot at 128 lies outside the block of 135 bytes",
    );
    refuse(
        &|block| block.tensor_maps[0].offset = u32::MAX,
        "lies outside the block",
    );
    refuse(
        &|block| block.pointers[0].operand = Operand::Sfa,
        "group 0 has no operand Sfa",
    );
    refuse(
        &|block| block.tensor_maps[0].element = "u4".into(),
        "unknown element type `u4`",
    );
    refuse(
        &|block| block.tensor_maps[0].swizzle = 96,
        "unknown swizzle 96",
    );
    refuse(
        &|block| block.tensor_maps[0].l2_promotion = 1,
        "unknown L2 promotion 1",
    );
    refuse(
        &|block| block.tensor_maps[0].strides.clear(),
        "do not fit together",
    );
    refuse(
        &|block| block.tensor_maps[0].tile = vec![256, 40],
        "tensor map at 0: ",
    );
    refuse(
        &|block| block.tensor_maps[0].strides = vec![120],
        "tensor map at 0: ",
    );
}

/// Before griddepcontrol.wait a kernel may read the weights, and nothing that the launches around it write or read.
#[test]
fn what_comes_before_the_wait_is_held_against_the_launch_in_front() {
    let early = |operand: usize, access: &str| {
        let body = format!(
            "
    ld.param.u64 %address, [block+{}];
    griddepcontrol.launch_dependents;
    mov.b16 %half, 0x3c00;
    {access}
    griddepcontrol.wait;
    ld.param.u64 %address, [block];
    ld.global.u8 %half, [%address];
    st.global.b16 [%c], %half;
    ret;
}}
",
            8 * operand
        );
        let kernel = kernel(&body, 1);
        let schedules = [Schedule::Eager, Schedule::Lazy, Schedule::Random(1)];
        schedules.map(|schedule| {
            with_groups(|groups| Emulated::load(&kernel)?.run_overlapping(groups, schedule))
        })
    };
    let read = "ld.global.u8 %half, [%address];";
    let write = "st.global.b16 [%address], %half;";
    for right in [early(1, read), early(3, read)].into_iter().flatten() {
        let [first, second] = right.unwrap();
        assert!(first == second && first[0][..2] == [0x22, 0]);
    }
    for wrong in [early(0, read), early(2, read), early(4, write)]
        .into_iter()
        .flatten()
    {
        let error = wrong.unwrap_err();
        assert!(
            error.is_fault() && error.to_string().contains("launch dependency"),
            "{error}"
        );
    }
}
