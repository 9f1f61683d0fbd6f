//! The packets of a file in the order of their times: capturing on several queues or interfaces puts packets that
//! were seen shortly after each other into the file in another order.

use std::collections::VecDeque;

use super::{CaptureTime, LinkType, Packet, Problems, Reader};

/// How many packets are looked at for an earlier one.
const WINDOW: usize = 64;
/// Times that go back by more than this are another reading of the clock, and no disorder.
const MAX_BACK_NS: i64 = 1_000_000_000;

/// A packet that waits for earlier ones.
struct Waiting {
    frame: u32,
    at: CaptureTime,
    link_type: LinkType,
    data: Vec<u8>,
    wire_len: u32,
    file_offset: u64,
}

/// Reads a file as [`Reader`] does, its packets put in order as far as they stand near each other.
pub struct InOrder {
    reader: Reader,
    /// In order of time; those of one time in that of the file.
    waiting: VecDeque<Waiting>,
    /// Of those waiting, how many are handed on before another packet is read.
    due: usize,
    /// The packet handed on last.
    current: Option<Waiting>,
}

impl InOrder {
    /// Sorts what the reader reads.
    pub fn new(reader: Reader) -> Self {
        Self { reader, waiting: VecDeque::new(), due: 0, current: None }
    }

    /// The reader.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The next packet, or `None` at the end; see [`Reader::next_packet`].
    pub fn next_packet(&mut self, problems: &mut impl Problems) -> Option<Packet<'_>> {
        while self.due == 0 {
            let Some(packet) = self.reader.next_packet(problems) else {
                self.due = self.waiting.len();
                break;
            };
            let spare = self.current.take().map(|last| last.data).unwrap_or_default();
            let packet = Waiting::of(&packet, spare);
            let newest = self.waiting.back().map(|last| last.at);
            if newest.is_some_and(|newest| newest.0.saturating_sub(packet.at.0) > MAX_BACK_NS) {
                self.due = self.waiting.len();
                self.waiting.push_back(packet);
            } else {
                let place = self.waiting.partition_point(|other| other.at <= packet.at);
                self.waiting.insert(place, packet);
                self.due = self.waiting.len().saturating_sub(WINDOW);
            }
        }
        self.due = self.due.saturating_sub(1);
        let &mut Waiting { frame, at, link_type, ref data, wire_len, file_offset } =
            self.current.insert(self.waiting.pop_front()?);
        Some(Packet { frame, at, link_type, data, wire_len, file_offset })
    }
}

impl Waiting {
    fn of(packet: &Packet<'_>, mut room: Vec<u8>) -> Self {
        room.clear();
        room.extend_from_slice(packet.data);
        let Packet { frame, at, link_type, wire_len, file_offset, .. } = *packet;
        Self { frame, at, link_type, data: room, wire_len, file_offset }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::capture::ProblemLog;
    use crate::capture::testing::PcapBuilder;

    fn frames(times_ms: &[i64]) -> Vec<u32> {
        let mut file = PcapBuilder::new().nanos();
        for ms in times_ms {
            file.packet(ms * 1_000_000, &[0; 20]);
        }
        let mut packets = InOrder::new(Reader::new(Cursor::new(file.build()), None).unwrap());
        let mut log = ProblemLog::default();
        std::iter::from_fn(|| packets.next_packet(&mut log).map(|packet| packet.frame)).collect()
    }

    #[test]
    fn packets_near_each_other_come_by_time_and_a_clock_set_back_moves_none() {
        assert_eq!(frames(&[1, 4, 3, 2, 5, 5]), [1, 4, 3, 2, 5, 6]);
        assert_eq!(frames(&[5_000, 5_002, 5_001, 1_000, 1_002, 1_001]), [1, 3, 2, 4, 6, 5]);
        let many: Vec<i64> = (1..300).collect();
        assert_eq!(frames(&many), (1..300).collect::<Vec<u32>>());
    }
}
