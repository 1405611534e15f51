//! What is not implemented is refused when the module is loaded, with its line.

use ptx_emulator::{LoadErrorKind, Module};

/// The line and the message with which an entry with this body is refused.
fn refusal(body: &str) -> (u32, String) {
    let text = format!(
        ".version 9.2\n.target sm_100a\n.address_size 64\n.visible .entry test()\n{{\n\
         .reg .pred %p<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<8>;\n.reg .f32 %f<8>;\n\
         .shared .align 128 .b8 area[256];\n{body}\nret;\n}}\n"
    );
    match Module::load("refused.ptx", &text) {
        Ok(_) => panic!("`{body}` is accepted"),
        Err(e) => {
            assert_eq!(e.kind, LoadErrorKind::Unsupported, "{e}");
            (e.at.line, e.message)
        }
    }
}

/// Lines in front of the body.
const HEAD: u32 = 11;

#[test]
fn instructions() {
    for body in [
        "cp.async.bulk.tensor.4d.im2col::w.shared::cluster.global.mbarrier::complete_tx::bytes [area], [%rd1, {%r1, %r2, %r3, %r4}], [area], {%h1, %h2};",
        "multimem.ld_reduce.global.add.f32 %f1, [%rd1];",
        "tcgen05.cp.cta_group::1.128x256b.b8x16.b6x16_p32 [%r1], %rd1;",
        "tcgen05.mma.sp.cta_group::1.kind::f16 [%r1], %rd1, %rd2, [%r2], %r3, %p1;",
        "tcgen05.mma.ws.sp.cta_group::1.kind::f16 [%r1], %rd1, %rd2, [%r2], %r3, %p1;",
        "tcgen05.shift.cta_group::1.down [%r1];",
        "tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [%rd1, {%r1}];",
    ] {
        let (line, message) = refusal(&format!("add.u32 %r1, %r2, %r3;\n{body}"));
        assert_eq!(line, HEAD + 2, "{message}");
        let opcode = body.split(['.', ' ']).next().unwrap();
        assert!(message.contains(opcode), "{message}");
    }
}

/// Operands that are constants count as part of the instruction.
#[test]
fn instruction_descriptors() {
    let e2m3 = 8 << 24 | 8 << 17 | 3 << 7 | 1 << 4;
    let mma = |idesc: &str| {
        format!("tcgen05.mma.cta_group::1.kind::f8f6f4 [%r1], [%r4], %rd2, {idesc}, %p1;")
    };
    let (line, message) = refusal(&mma(&e2m3.to_string()));
    assert_eq!(line, HEAD + 1, "{message}");
    assert!(message.contains("6 bits"), "{message}");
    let moved = format!("mov.b32 %r5, {e2m3};\n{}", mma("%r5"));
    assert_eq!(refusal(&moved).0, HEAD + 2);
}
