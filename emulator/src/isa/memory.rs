//! `ld`, `st` and the instructions around them (PTX ISA, 9.7.9.8 on).

use super::form::{Addr, Dst, Form};
use super::types::Ty;
use super::{Execute, Op, Src, Taint, async_store, hints, sign_extend, truncate};
use crate::check::{Semantics, Sync};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    match f.opcode() {
        "ld" | "ldu" => load(f),
        "st" => store(f),
        "createpolicy" | "prefetch" | "prefetchu" | "applypriority" | "discard" => hints::decode(f),
        _ => Err(f.unsupported("unknown instruction")),
    }
}

const SPACES: [(&str, Space); 10] = [
    ("global", Space::Global),
    ("shared", Space::Shared),
    ("shared::cta", Space::Shared),
    ("shared::cluster", Space::SharedCluster),
    ("const", Space::Const),
    ("local", Space::Local),
    ("param", Space::Param),
    ("param::entry", Space::Param),
    ("param::func", Space::Param),
    ("generic", Space::Generic),
];

/// The state space; generic if none is written.
pub(super) fn space(f: &mut Form<'_>) -> Space {
    f.choose(&SPACES).unwrap_or(Space::Generic)
}

/// What an access says about order between threads.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    Weak,
    Relaxed,
    Acquire,
    Release,
}

impl Order {
    fn sync(self, wide: bool) -> Sync {
        let semantics = match self {
            Order::Acquire | Order::Release => Semantics::Strong,
            _ => Semantics::Relaxed,
        };
        Sync { semantics, wide }
    }
}

fn order(f: &mut Form<'_>) -> (Order, bool) {
    let orders = [
        ("weak", Order::Weak),
        ("volatile", Order::Relaxed),
        ("relaxed", Order::Relaxed),
        ("acquire", Order::Acquire),
        ("release", Order::Release),
    ];
    // `.mmio` asks that the access happen once and whole, as it does here (PTX ISA, ld).
    f.ignore(&["mmio"]);
    let order = f.choose(&orders).unwrap_or(Order::Weak);
    (order, scope(f))
}

/// Takes `.relaxed`, or one of the stronger words, which are the default of synchronising instructions.
pub(super) fn semantics(f: &mut Form<'_>) -> Semantics {
    let words = [
        ("relaxed", Semantics::Relaxed),
        ("acquire", Semantics::Strong),
        ("release", Semantics::Strong),
    ];
    f.choose(&words).unwrap_or(Semantics::Strong)
}

/// Takes `.cta`, `.cluster`, `.gpu` or `.sys`; true if it reaches beyond the CTA, as it does by default.
pub(super) fn scope(f: &mut Form<'_>) -> bool {
    let scopes = [
        ("cta", false),
        ("cluster", true),
        ("gpu", true),
        ("sys", true),
    ];
    f.choose(&scopes).unwrap_or(true)
}

/// Takes cache operators and eviction hints; returns whether a cache policy operand follows.
pub(super) fn cache_hints(f: &mut Form<'_>) -> bool {
    f.ignore(&["ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc"]);
    f.ignore(&[
        "L1::evict_normal",
        "L1::evict_unchanged",
        "L1::evict_first",
        "L1::evict_last",
        "L1::no_allocate",
    ]);
    f.ignore(&[
        "L2::evict_normal",
        "L2::evict_first",
        "L2::evict_last",
        "L2::64B",
        "L2::128B",
        "L2::256B",
    ]);
    f.take("L2::cache_hint")
}

fn vector(f: &mut Form<'_>) -> usize {
    f.choose(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1)
}

impl Load {
    fn kind(&self) -> AccessKind {
        match self.order {
            Order::Weak => AccessKind::Load,
            _ => AccessKind::StrongLoad,
        }
    }
}

/// Parameters of calls lie in local memory.
fn in_call(space: Space, addr: Addr) -> (Space, Addr) {
    match addr.base {
        Src::Imm(base) if space == Space::Param => match super::decode::in_local_memory(base) {
            Some(local) => (
                Space::Local,
                Addr {
                    base: Src::Imm(local),
                    ..addr
                },
            ),
            None => (space, addr),
        },
        _ => (space, addr),
    }
}

struct Load {
    dsts: Vec<Dst>,
    addr: Addr,
    space: Space,
    ty: Ty,
    order: Order,
    wide: bool,
}

impl Execute for Load {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let (size, words) = (
            self.ty.bytes() as usize,
            self.ty.bits().div_ceil(64) as usize,
        );
        let total = size * self.dsts.len();
        let mut out = [[0u64; 32]; 8];
        let mut undefined = [(0u32, 0u32); 8];
        for lane in step.lanes() {
            let mut bytes = [0u8; 32];
            step.read(
                lane,
                self.space,
                addresses[lane],
                self.kind(),
                &mut bytes[..total],
            )?;
            if step.state.check.on {
                for (i, (lanes, bytes)) in undefined.iter_mut().enumerate().take(self.dsts.len()) {
                    let at = addresses[lane].wrapping_add((i * size) as u64);
                    let missing = step.undefined_bytes(lane, self.space, at, size);
                    *lanes |= u32::from(missing != 0) << lane;
                    *bytes |= missing;
                }
            }
            if self.order != Order::Weak {
                let sync = self.order.sync(self.wide);
                step.take_over(lane, self.space, addresses[lane], sync);
            }
            for (value, element) in out.iter_mut().zip(bytes[..total].chunks(size.min(8))) {
                let mut word = [0; 8];
                word[..element.len()].copy_from_slice(element);
                value[lane] = u64::from_le_bytes(word);
            }
        }
        for (i, d) in self.dsts.iter().enumerate() {
            for word in 0..words {
                let mut values = out[i * words + word];
                let (lanes, mut bytes) = (undefined[i].0, undefined[i].1 >> (8 * word));
                if self.ty.is_signed() && d.bits > self.ty.bits() {
                    values = values.map(|v| truncate(sign_extend(v, self.ty.bits()), d.bits));
                    bytes = if bytes == 0 { 0 } else { u32::from(u8::MAX) };
                }
                let slot = d.slot + word as u32;
                step.set(slot, &values);
                let (mask, line) = (step.mask, step.line);
                let lanes = if bytes as u8 == 0 { 0 } else { lanes };
                let registers = &mut step.warp.defined;
                registers.define_bytes(slot, mask, lanes, line, bytes as u8);
            }
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }

    fn couples_clusters(&self) -> bool {
        matches!(self.space, Space::Global | Space::Generic)
            && matches!(self.order, Order::Acquire | Order::Relaxed)
    }
}

fn check_vector(f: &Form<'_>, ty: Ty, count: usize, written: usize) -> Result<(), LoadError> {
    if count != written {
        return Err(f.invalid(format!("needs {count} registers, has {written}")));
    }
    if ty.bytes() as usize * count > 32 || ty == Ty::Pred {
        return Err(f.invalid("no access is wider than 32 bytes"));
    }
    Ok(())
}

fn load(f: &mut Form<'_>) -> Decoded {
    let (order, wide) = order(f);
    let space = space(f);
    let policy = cache_hints(f);
    let count = vector(f);
    let ty = f.ty()?;
    let dsts = f.dsts(0)?;
    check_vector(f, ty, count, dsts.len())?;
    if dsts
        .iter()
        .any(|d| d.slot != super::SINK && d.bits < ty.bits())
    {
        return Err(f.invalid("a register is too narrow for the loaded type"));
    }
    let (space, addr) = in_call(space, f.addr(1)?);
    if policy {
        f.src(2, Ty::B64)?;
    }
    Ok(Box::new(Load {
        dsts,
        addr,
        space,
        ty,
        order,
        wide,
    }))
}

pub(super) struct Store {
    pub srcs: Vec<Src>,
    pub addr: Addr,
    pub space: Space,
    pub ty: Ty,
    pub order: Order,
    pub wide: bool,
}

impl Execute for Store {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let addresses = step.addresses(self.addr);
        let (size, words) = (
            self.ty.bytes() as usize,
            self.ty.bits().div_ceil(64) as usize,
        );
        let total = size * self.srcs.len();
        let kind = match self.order {
            Order::Weak => AccessKind::Store,
            _ => AccessKind::StrongStore,
        };
        let mut values = [[0u64; 32]; 8];
        for (i, src) in self.srcs.iter().enumerate() {
            values[i * words] = step.get(*src);
            if words == 2 {
                values[i * words + 1] = step.get(src.word(1));
            }
        }
        for lane in step.lanes() {
            let mut bytes = [0u8; 32];
            for (value, element) in values.iter().zip(bytes[..total].chunks_mut(size.min(8))) {
                element.copy_from_slice(&value[lane].to_le_bytes()[..element.len()]);
            }
            step.write(lane, self.space, addresses[lane], kind, &bytes[..total])?;
            if step.state.check.on {
                for (i, src) in self.srcs.iter().enumerate() {
                    for word in 0..words {
                        let behind = (i * size + 8 * word) as u64;
                        let at = addresses[lane].wrapping_add(behind);
                        step.stored(lane, self.space, at, size.min(8), src.word(word))?;
                    }
                }
            }
            if self.order != Order::Weak {
                let sync = self.order.sync(self.wide);
                step.pass_on(lane, self.space, addresses[lane], sync);
            }
        }
        Ok(Flow::Next)
    }

    fn taint(&self) -> Taint {
        Taint::Own
    }
}

fn store(f: &mut Form<'_>) -> Decoded {
    if f.take("async") {
        return async_store::store(f);
    }
    if f.take("bulk") {
        return async_store::bulk(f);
    }
    let (order, wide) = order(f);
    let space = space(f);
    let policy = cache_hints(f);
    let count = vector(f);
    let ty = f.ty()?;
    let (space, addr) = in_call(space, f.addr(0)?);
    let srcs = f.srcs(1, ty)?;
    check_vector(f, ty, count, srcs.len())?;
    if policy {
        f.src(2, Ty::B64)?;
    }
    if matches!(space, Space::Const) {
        return Err(f.invalid("constant memory cannot be written"));
    }
    Ok(Box::new(Store {
        srcs,
        addr,
        space,
        ty,
        order,
        wide,
    }))
}
