//! The machine constants, each with its range and where it comes from. Nothing here was measured by this project.
//!
//! Sources: **SA** SemiAnalysisAI/microbench-blackwell, commit 9a068d8 (B200, raw tables) · **QR** ademeure/QuickRunCUDA,
//! `b300_clean` (a B300 as proxy) · **UM** notes on UTCMMA on a B200 · **GN** gau-nernst/gpu-mode-kernels (work logs of the
//! contest's winner) · **PE** pegainfer issue 569 · **SG** an sglang kernel's comments · **AZ** Azure/AI-benchmarking-guide ·
//! **V** vendor. "Fit" marks the constants that [`published`](super::published) calibrates, inside the range given here.

/// One number that the model rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// What the model uses.
    pub value: f64,
    /// The least that a source reports or its scatter allows.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// The unit.
    pub unit: &'static str,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// `value, low..high, unit, source`.
const fn c(value: f64, range: [f64; 2], unit: &'static str, source: &'static str) -> Constant {
    Constant {
        value,
        low: range[0],
        high: range[1],
        unit,
        source,
    }
}

/// Declares [`Machine`]: one field for each constant, and their list by name.
macro_rules! machine {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// One GPU, in constants.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Machine {
            /// The part.
            pub name: &'static str,
            $($(#[$doc])* pub $field: Constant,)*
        }

        impl Machine {
            /// Every constant with its name, in the order of the declaration.
            pub fn constants(&self) -> Vec<(&'static str, Constant)> {
                vec![$((stringify!($field), self.$field),)*]
            }

            /// The same machine with one constant at another value. None if there is no constant of that name.
            pub fn with(&self, name: &str, value: f64) -> Option<Machine> {
                let mut changed = self.clone();
                match name {
                    $(stringify!($field) => changed.$field.value = value,)*
                    _ => return None,
                }
                Some(changed)
            }
        }
    };
}

machine! {
    /// Streaming multiprocessors.
    sms,
    /// Clock of the SMs under load.
    clock_ghz,
    /// Bandwidth of device memory for reads, from enough SMs with enough in flight.
    dram_tb_s,
    /// What a written byte costs, in read bytes.
    write_cost,
    /// From the issue of a bulk load to its arrival out of device memory, unloaded.
    dram_latency_us,
    /// The same out of L2.
    l2_latency_us,
    /// What the first load of a CTA waits longer: tensor map, address translation.
    first_load_us,
    /// Rate at which one SM can take in loaded bytes.
    sm_fill_gb_s,
    /// From an arrival at a barrier to the waiting thread.
    barrier_cycles,
    /// The issue of one bulk load.
    copy_issue_cycles,
    /// From the last MMA's end to the thread that waits for its commit.
    commit_cycles,
    /// The same when a pair of CTAs multiplies.
    pair_commit_cycles,
    /// Time that one copy of 512 bytes of scales to tensor memory takes from the tensor core.
    scale_copy_cycles,
    /// Barriers and the block-wide synchronisation at the start.
    setup_cycles,
    /// Allocation of tensor memory when all SMs allocate.
    allocation_cycles,
    /// Synchronisation of a cluster.
    cluster_barrier_cycles,
    /// Latency of one slice of the epilogue: read tensor memory, convert, store.
    slice_cycles,
    /// Throughput part of the epilogue, for one accumulator column of 128 rows: read, convert, store.
    column_cycles,
    /// Reading tensor memory alone, for one column.
    read_column_cycles,
    /// From the last store's issue to the end of the kernel.
    drain_us,
    /// Bytes that one SM moves to another of its cluster.
    cluster_bytes_per_cycle,
    /// Latency of such a move.
    cluster_latency_cycles,
    /// One launch to the next on a stream: end of the last CTA to start of the first.
    launch_gap_us,
    /// The same with programmatic dependent launch: an SM becomes free to the next kernel's CTA starting on it.
    handover_us,
    /// Completion of the previous kernel to the return of `griddepcontrol.wait`.
    dependency_us,
    /// What a kilobyte of kernel parameters adds to the gap.
    parameter_us_per_kb,
    /// What a small copy from the host on the stream adds in front of a launch.
    upload_us,
    /// Start of one CTA to the start of the next.
    dispatch_ns,
    /// Dense FP4 (B200) or f16 (H200) multiply-adds of one SM in a cycle, counted as two operations.
    flops_per_cycle,
}

impl Machine {
    /// Microseconds of that many SM cycles.
    pub fn cycles(&self, count: f64) -> f64 {
        count / (self.clock_ghz.value * 1e3)
    }
}

/// B200 as calibrated on the contest's machine.
pub const B200: Machine = Machine {
    name: "B200",
    sms: c(
        148.0,
        [142.0, 148.0],
        "",
        "2 dies of 74; 142-144 usable with clusters of 4 and more (QR)",
    ),
    clock_ghz: c(
        1.85,
        [1.5, 1.98],
        "GHz",
        "1.845 (UM); 1.92-1.98 (SA sweeps); 1.5 in the contest's own bound",
    ),
    dram_tb_s: c(
        5.92,
        [5.915, 7.31],
        "TB/s",
        "fit; 7.0-7.31 (SA), 5.915 on the contest's machine (GN)",
    ),
    write_cost: c(
        1.15,
        [0.0, 1.3],
        "read bytes",
        "6.7 TB/s at equal reads and writes (QR, B300); 0 if C stays in L2",
    ),
    dram_latency_us: c(
        0.46,
        [0.42, 0.6],
        "us",
        "900 cycles, 458 ns at 512 B (SA); 540-595 ns (UM)",
    ),
    l2_latency_us: c(
        0.2,
        [0.16, 0.35],
        "us",
        "365 cycles for a hot TMA load (UM); near 300, far 640 (QR)",
    ),
    first_load_us: c(
        0.35,
        [0.25, 0.5],
        "us",
        "first use 1413-2088 cycles against 900 steady (SA)",
    ),
    sm_fill_gb_s: c(
        119.0,
        [88.0, 119.0],
        "GB/s",
        "fit; 13.1 TB/s into 148 SMs by multicast (SA), 13.3-17.4 from L2, 60 B a cycle (QR)",
    ),
    barrier_cycles: c(54.0, [54.0, 111.0], "cycles", "arrive and wait (QR)"),
    copy_issue_cycles: c(
        16.0,
        [4.0, 64.0],
        "cycles",
        "no source; below latency/4 of SA's four-stage rows",
    ),
    commit_cycles: c(
        137.0,
        [121.0, 148.0],
        "cycles",
        "intercept of MXF4 SS, one CTA (SA)",
    ),
    pair_commit_cycles: c(
        173.0,
        [161.0, 184.0],
        "cycles",
        "intercept of MXF4 SS, M = 256 (SA)",
    ),
    scale_copy_cycles: c(
        10.0,
        [0.0, 74.0],
        "cycles",
        "68-74 back to back, shape not stated (UM); at most 11 if cuBLAS reaches 7.6 PFLOP/s (AZ)",
    ),
    setup_cycles: c(
        150.0,
        [60.0, 400.0],
        "cycles",
        "22 + 2 a warp (QR), barrier set-up not measured",
    ),
    allocation_cycles: c(
        1030.0,
        [250.0, 1850.0],
        "cycles",
        "250 alone, 1,030 on all SMs (QR); 1 us (SG)",
    ),
    cluster_barrier_cycles: c(
        375.0,
        [102.0, 375.0],
        "cycles",
        "relaxed to acquire-release (QR)",
    ),
    slice_cycles: c(
        60.0,
        [60.0, 420.0],
        "cycles",
        "latency of tcgen05.ld uncertain, 60 to 420 under load",
    ),
    column_cycles: c(
        12.0,
        [2.25, 16.0],
        "cycles",
        "fit; 57 B a cycle and warp out of tensor memory (QR) is 2.25; stores come on top",
    ),
    read_column_cycles: c(
        2.25,
        [2.25, 2.42],
        "cycles",
        "53-57 B a cycle and warp out of tensor memory (QR)",
    ),
    drain_us: c(
        0.95,
        [0.25, 1.0],
        "us",
        "fit; store and drain, no direct measurement",
    ),
    cluster_bytes_per_cycle: c(
        21.0,
        [16.0, 32.0],
        "bytes",
        "21 by ld, 32 by bulk copy (QR)",
    ),
    cluster_latency_cycles: c(200.0, [180.0, 215.0], "cycles", "QR"),
    launch_gap_us: c(
        1.5,
        [0.56, 2.05],
        "us",
        "fit; 1.0 (PE), 0.56-0.6 in a graph (QR), 1.5-2.05 per direct launch (QR)",
    ),
    handover_us: c(
        0.3,
        [0.1, 0.5],
        "us",
        "no source; 0.96 of 1.0 removable (PE)",
    ),
    dependency_us: c(0.3, [0.1, 0.5], "us", "no source"),
    parameter_us_per_kb: c(
        0.085,
        [0.0, 0.085],
        "us",
        "4 KB add 0.34 us to launch and synchronisation (QR)",
    ),
    upload_us: c(
        3.1,
        [1.0, 7.0],
        "us",
        "22.8 - 19.7 without a copy per call (an entrant's ablation); 5-7 a copy (arXiv 2602.21548)",
    ),
    dispatch_ns: c(0.54, [0.3, 1.0], "ns", "543 us for 1e6 CTAs (QR)"),
    flops_per_cycle: c(
        32_768.0,
        [32_712.0, 32_768.0],
        "FLOP",
        "128 cycles for 128x256x64; 65,425 a pair (SA)",
    ),
};

/// H200. Nothing is calibrated on it: memory and latencies are published, the rest is taken over from B200.
pub const H200: Machine = Machine {
    name: "H200",
    sms: c(132.0, [132.0, 132.0], "", "V"),
    clock_ghz: c(
        1.755,
        [1.395, 1.98],
        "GHz",
        "V; 1.46 under a profiler, 1.98 at most",
    ),
    dram_tb_s: c(
        4.5,
        [4.48, 4.57],
        "TB/s",
        "read-only (AZ); 4.8 by specification",
    ),
    write_cost: c(1.25, [0.0, 1.4], "read bytes", "copy 4.01 TB/s (AZ)"),
    dram_latency_us: c(
        0.46,
        [0.34, 0.57],
        "us",
        "600-1,000 cycles for TMA, no source; 570 by pointer chase on H100",
    ),
    l2_latency_us: c(0.15, [0.14, 0.3], "us", "260 cycles on H100, weak"),
    first_load_us: c(0.35, [0.25, 0.5], "us", "as B200"),
    sm_fill_gb_s: c(
        90.0,
        [60.0, 112.0],
        "GB/s",
        "no source; 64 B a cycle at most",
    ),
    barrier_cycles: c(54.0, [54.0, 111.0], "cycles", "as B200"),
    copy_issue_cycles: c(16.0, [4.0, 64.0], "cycles", "as B200"),
    commit_cycles: c(60.0, [20.0, 120.0], "cycles", "no source"),
    pair_commit_cycles: c(60.0, [20.0, 120.0], "cycles", "no pairs on this part"),
    scale_copy_cycles: c(
        0.0,
        [0.0, 0.0],
        "cycles",
        "scales are multiplied in before the tensor core",
    ),
    setup_cycles: c(150.0, [60.0, 400.0], "cycles", "as B200"),
    allocation_cycles: c(0.0, [0.0, 0.0], "cycles", "no tensor memory"),
    cluster_barrier_cycles: c(375.0, [102.0, 375.0], "cycles", "as B200"),
    slice_cycles: c(
        60.0,
        [30.0, 200.0],
        "cycles",
        "accumulators are in registers",
    ),
    column_cycles: c(8.0, [2.25, 16.0], "cycles", "as B200"),
    read_column_cycles: c(0.0, [0.0, 0.0], "cycles", "accumulators are in registers"),
    drain_us: c(0.5, [0.25, 1.0], "us", "as B200"),
    cluster_bytes_per_cycle: c(21.0, [16.0, 32.0], "bytes", "as B200"),
    cluster_latency_cycles: c(200.0, [180.0, 215.0], "cycles", "as B200"),
    launch_gap_us: c(
        1.0,
        [0.96, 1.5],
        "us",
        "0.96 at 1,755 MHz, part not named (PE)",
    ),
    handover_us: c(0.3, [0.1, 0.5], "us", "as B200"),
    dependency_us: c(0.3, [0.1, 0.5], "us", "as B200"),
    parameter_us_per_kb: c(
        0.085,
        [0.0, 0.085],
        "us",
        "4 KB add 0.34 us to launch and synchronisation (QR)",
    ),
    upload_us: c(3.1, [1.0, 7.0], "us", "as B200"),
    dispatch_ns: c(0.54, [0.3, 1.0], "ns", "as B200"),
    flops_per_cycle: c(
        4_096.0,
        [4_096.0, 4_096.0],
        "FLOP",
        "989.4 TFLOP/s at 132 SMs and 1.83 GHz (V), f16",
    ),
};
