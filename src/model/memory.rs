//! The memory system that all SMs share.
//!
//! Device memory is one pipe of a given bandwidth that serves requests in the order of their issue; L2 holds what has
//! been fetched; each SM takes in bytes at a limited rate. That is all it takes to meet the measured curve of bandwidth
//! against bytes in flight (see the tests): a request of F bytes comes back after latency + F / fill rate.

use super::machine::Machine;

/// State of device memory and L2 in the course of a launch. Times in microseconds.
#[derive(Clone, Debug)]
pub struct Memory {
    us_per_byte: f64,
    write_us_per_byte: f64,
    /// From the issue of a load to its arrival out of device memory, unloaded.
    pub dram_latency: f64,
    l2_latency: f64,
    /// When the pipe has served everything asked of it so far.
    free: f64,
    /// When each chunk is in L2; infinite if nobody has asked for it.
    in_l2: Vec<f64>,
    /// Bytes read from device memory.
    pub read_bytes: u64,
    /// Bytes that loads asked for.
    pub requested_bytes: u64,
}

impl Memory {
    /// Memory with `chunks` chunks and nothing in L2.
    pub fn new(machine: &Machine, chunks: u32) -> Self {
        let us_per_byte = 1e-6 / machine.dram_tb_s.value;
        Memory {
            us_per_byte,
            write_us_per_byte: us_per_byte * machine.write_cost.value,
            dram_latency: machine.dram_latency_us.value,
            l2_latency: machine
                .l2_latency_us
                .value
                .min(machine.dram_latency_us.value),
            free: 0.0,
            in_l2: vec![f64::INFINITY; chunks as usize],
            read_bytes: 0,
            requested_bytes: 0,
        }
    }

    /// The next launch works on other data: L2 holds none of it, and counting starts anew.
    pub fn next_launch(&mut self) {
        self.in_l2.fill(f64::INFINITY);
        self.read_bytes = 0;
        self.requested_bytes = 0;
    }

    /// A load of a chunk that is issued at `now`: when its last byte reaches an SM that can take it in at once.
    pub fn load(&mut self, now: f64, chunk: u32, bytes: u32) -> f64 {
        self.requested_bytes += u64::from(bytes);
        let in_l2 = &mut self.in_l2[chunk as usize];
        if in_l2.is_infinite() {
            self.free = now.max(self.free) + f64::from(bytes) * self.us_per_byte;
            self.read_bytes += u64::from(bytes);
            *in_l2 = self.free + self.dram_latency - self.l2_latency;
        }
        now.max(*in_l2) + self.l2_latency
    }

    /// Bytes written back: they take their turn in the pipe behind what has been asked of it, nobody waits for them.
    pub fn store(&mut self, bytes: u32) {
        self.free += f64::from(bytes) * self.write_us_per_byte;
    }
}
