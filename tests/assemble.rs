//! The real ptxas on small kernels written for these tests.

use nvfp4gen::assemble::{AssembleError, Ptxas, nvdisasm};

const HEADER: &str = ".version 8.7\n.target sm_100a\n.address_size 64\n";

fn ptxas() -> Ptxas {
    Ptxas::find().unwrap_or_else(|error| panic!("{error} (`scripts/test` does so)"))
}

/// Stores the thread's index, by way of a named barrier and 1,024 bytes of shared memory.
fn small() -> String {
    format!(
        "{HEADER}
.visible .entry small(.param .u64 out)
{{
    .reg .b64 %address;
    .reg .b32 %thread, %shared;
    .shared .align 4 .b8 buffer[1024];
    ld.param.u64 %address, [out];
    mov.u32 %thread, %tid.x;
    mov.u32 %shared, buffer;
    st.shared.u32 [%shared], %thread;
    barrier.sync 3;
    ld.shared.u32 %thread, [%shared];
    st.global.u32 [%address], %thread;
    ret;
}}
"
    )
}

/// Keeps 64 loaded values alive under a limit of 32 registers.
fn spilling() -> String {
    let loads: String = (0..64)
        .map(|i| format!("    ld.volatile.global.u32 %v{i}, [%address+{}];\n", 4 * i))
        .collect();
    let stores: String = (0..64)
        .map(|i| {
            format!(
                "    st.volatile.global.u32 [%address+{}], %v{i};\n",
                4 * (63 - i)
            )
        })
        .collect();
    format!(
        "{HEADER}
.visible .entry spilling(.param .u64 out)
.maxntid 1024
.minnctapersm 2
{{
    .reg .b64 %address;
    .reg .b32 %v<64>;
    ld.param.u64 %address, [out];
{loads}{stores}    ret;
}}
"
    )
}

#[test]
fn a_kernel_and_what_it_costs() {
    let assembly = ptxas().assemble(&small(), "sm_100a").unwrap();
    assert_eq!(assembly.warnings, []);
    let [entry] = &assembly.entries[..] else {
        panic!("{:?}", assembly.entries)
    };
    assert_eq!(entry.function, "small");
    assert_eq!(entry.shared_bytes, 1024);
    assert_eq!(entry.barriers, 4, "barrier 3 reserves barriers 0 to 3");
    assert!((1..=32).contains(&entry.registers), "{entry:?}");
    assert_eq!(
        (entry.spill_stores, entry.spill_loads, entry.local_bytes),
        (0, 0, 0)
    );
    assert!(assembly.cubin.starts_with(b"\x7fELF"));
}

#[test]
fn spills_are_seen() {
    let assembly = ptxas().assemble(&spilling(), "sm_100a").unwrap();
    let entry = &assembly.entries[0];
    assert_eq!(entry.registers, 32);
    assert!(
        entry.spill_stores > 0 && entry.spill_loads > 0 && entry.local_bytes > 0,
        "{entry:?}"
    );
    assert_eq!(assembly.warnings.len(), 2, "{:?}", assembly.warnings);
}

#[test]
fn errors_name_line_and_text() {
    let broken = small().replace("barrier.sync 3;", "barier.sync 3;");
    let error = ptxas().assemble(&broken, "sm_100a").unwrap_err();
    let AssembleError::Rejected { errors, .. } = &error else {
        panic!("{error}")
    };
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("barier"))
        .unwrap();
    assert_eq!(
        errors[0].line,
        Some((line, "    barier.sync 3;".to_owned()))
    );
    let shown = error.to_string();
    assert!(shown.contains("rejects the kernel\n  line "), "{shown}");
    assert!(shown.ends_with("\n    barier.sync 3;"), "{shown}");
}

#[test]
fn unknown_architectures_are_refused() {
    let error = ptxas().assemble(&small(), "sm_10").unwrap_err();
    assert!(
        error.to_string().contains("'sm_10' is not defined"),
        "{error}"
    );
}

#[test]
fn a_tool_that_is_no_assembler() {
    for (tool, words) in [
        ("/bin/false", "failed without naming an error"),
        ("/nowhere/ptxas", "cannot run /nowhere/ptxas"),
    ] {
        let error = Ptxas::at(tool.into())
            .assemble(&small(), "sm_100a")
            .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_disassembler_reads_what_the_assembler_wrote() {
    let tool = nvdisasm().unwrap_or_else(|error| panic!("{error} (`scripts/test` does so)"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.cubin");
    std::fs::write(&path, ptxas().assemble(&small(), "sm_100a").unwrap().cubin).unwrap();
    let listing = std::process::Command::new(tool)
        .arg(&path)
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(
        listing.contains("STS") && listing.contains("STG"),
        "{listing}"
    );
}
