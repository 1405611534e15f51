use super::*;
use crate::ptx::ast::{Address, Operand};

fn body(text: &str) -> Vec<Statement> {
    let unit = parse(&format!(
        ".version 8.7\n.target sm_100a\n.visible .entry k() {{ {text} }}"
    ))
    .unwrap();
    unit.entries.into_iter().next().unwrap().body
}

fn only(text: &str) -> Instruction {
    match body(text).remove(0) {
        Statement::Instruction(i) => i,
        other => panic!("{other:?}"),
    }
}

#[test]
fn operands_of_every_shape() {
    let i = only(
        "@!%p1 cp.async.bulk.tensor.2d.shared::cta.global [%r2+-8], [%rd0, {%r0,7}], [b], _, %r1|%p2, -1;",
    );
    assert!(
        i.guard
            .as_ref()
            .is_some_and(|g| g.negated && g.name == "%p1")
    );
    assert_eq!(
        i.modifiers,
        ["async", "bulk", "tensor", "2d", "shared::cta", "global"]
    );
    let name = |s: &str| Operand::Name(s.into());
    let address = |base, offset, extra| {
        Operand::Address(Box::new(Address {
            base,
            offset,
            extra,
        }))
    };
    assert_eq!(
        i.operands,
        [
            address(name("%r2"), -8, vec![]),
            address(
                name("%rd0"),
                0,
                vec![Operand::Vector(vec![name("%r0"), Operand::Integer(7)])]
            ),
            address(name("b"), 0, vec![]),
            Operand::Sink,
            Operand::Pair(Box::new(name("%r1")), Box::new(name("%p2"))),
            Operand::Integer(u64::MAX),
        ]
    );
}

#[test]
fn scopes_labels_and_tables() {
    let b = body(".reg .b32 %r<4>, %x; { W: bra.uni W; } T: .branchtargets A, B; A: B: ret;");
    assert_eq!(b.len(), 7);
    assert!(matches!(&b[2], Statement::Block(inner) if inner.len() == 2));
    assert!(matches!(&b[3], Statement::BranchTargets(t, l) if t == "T" && l.len() == 2));
}

#[test]
fn initialised_tables() {
    let unit =
        parse(".version 8.7 .target sm_100a .const .align 8 .b32 t[2][2] = {{1, 2}, {0x3, -1}};")
            .unwrap();
    let v = &unit.variables[0];
    assert_eq!((v.count, v.align, v.init.len()), (Some(4), Some(8), 4));
    assert_eq!(v.init[3], Operand::Integer(u64::MAX));
}

#[test]
fn errors_say_where_and_what() {
    let error =
        parse(".version 8.7\n.target sm_100a\n.entry k() {\n  add.u32 %r1, ;\n}").unwrap_err();
    assert_eq!((error.at.line, error.at.column), (4, 16));
    assert_eq!(error.message, "expected an operand, found `;`");
}
