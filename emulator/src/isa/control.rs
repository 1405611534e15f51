//! Control flow (PTX ISA, 9.7.12) and the instructions that change nothing a program can compute with.

use super::form::Form;
use super::types::Ty;
use super::{Collective, Execute, Op, Src};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step, Together};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "bra" => {
            f.ignore(&["uni"]);
            f.label(0).map(branch)
        }
        "brx" => {
            f.require("`.idx`", &[("idx", ())])?;
            f.ignore(&["uni"]);
            Ok(Box::new(BranchTable {
                index: f.src(0, Ty::U32)?,
                targets: f.label_table(1)?,
            }))
        }
        "ret" => {
            f.ignore(&["uni"]);
            Ok(f.return_label().map_or_else(exit, branch))
        }
        "exit" => Ok(exit()),
        "trap" | "brkpt" => Ok(trap()),
        "nanosleep" => {
            f.ty()?;
            f.src(0, Ty::U32)?;
            Ok(Box::new(Yield))
        }
        "setmaxnreg" => set_max_registers(f),
        _ => Err(f.unsupported("unknown instruction")),
    }
}

struct Branch {
    target: u32,
}

/// A jump to a label.
pub(super) fn branch(target: u32) -> Op {
    Box::new(Branch { target })
}

impl Execute for Branch {
    fn execute(&self, _: &mut Step<'_>) -> Result<Flow, FaultKind> {
        Ok(Flow::Jump(self.target))
    }

    fn resolve(&mut self, places: &[u32]) {
        self.target = places[self.target as usize];
    }
}

/// `brx.idx`: each thread picks its own target.
struct BranchTable {
    index: Src,
    targets: Vec<u32>,
}

impl Execute for BranchTable {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let index = step.get(self.index);
        let mut jumps: Vec<(u32, u32)> = Vec::new();
        for lane in step.lanes() {
            let Some(&target) = self.targets.get(index[lane] as u32 as usize) else {
                let what = format!(
                    "brx.idx index {} of a table with {} entries",
                    index[lane],
                    self.targets.len()
                );
                return Err(FaultKind::operand(lane, what));
            };
            match jumps.iter_mut().find(|(t, _)| *t == target) {
                Some((_, lanes)) => *lanes |= 1 << lane,
                None => jumps.push((target, 1 << lane)),
            }
        }
        Ok(Flow::Scatter(jumps))
    }

    fn resolve(&mut self, places: &[u32]) {
        for target in &mut self.targets {
            *target = places[*target as usize];
        }
    }
}

struct Exit;

impl Execute for Exit {
    fn execute(&self, _: &mut Step<'_>) -> Result<Flow, FaultKind> {
        Ok(Flow::Exit)
    }
}

/// Ends the threads that execute it.
pub(super) fn exit() -> Op {
    Box::new(Exit)
}

struct Trap;

/// Stops the kernel.
pub(super) fn trap() -> Op {
    Box::new(Trap)
}

impl Execute for Trap {
    fn execute(&self, _: &mut Step<'_>) -> Result<Flow, FaultKind> {
        Err(FaultKind::Trap)
    }
}

/// `nanosleep`: lets others run.
struct Yield;

impl Execute for Yield {
    fn execute(&self, _: &mut Step<'_>) -> Result<Flow, FaultKind> {
        Ok(Flow::Yield)
    }
}

/// An instruction without effect on values, with a requirement on who executes it.
pub(super) struct Nothing {
    pub collective: Collective,
}

impl Execute for Nothing {
    fn execute(&self, _: &mut Step<'_>) -> Result<Flow, FaultKind> {
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        self.collective
    }
}

/// `setmaxnreg`: registers are not rationed here, but all warps of a warpgroup must execute it.
struct SetMaxRegisters;

impl Execute for SetMaxRegisters {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        step.warpgroup_executes(Together::SetMaxRegisters)?;
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

/// The count is a multiple of 8 (PTX ISA, setmaxnreg).
fn set_max_registers(f: &mut Form<'_>) -> Decoded {
    f.require("`.inc` or `.dec`", &[("inc", ()), ("dec", ())])?;
    f.require("`.sync`", &[("sync", ())])?;
    f.require("`.aligned`", &[("aligned", ())])?;
    f.ty()?;
    let count = f.immediate(0)?;
    if !(24..=256).contains(&count) || count % 8 != 0 {
        return Err(f.invalid("the count must be a multiple of 8 from 24 to 256"));
    }
    Ok(Box::new(SetMaxRegisters))
}
