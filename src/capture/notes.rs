//! What a pcapng file says beside its packets: comments, interfaces, host names, and what was lost.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

/// Most packets whose comments are kept of a capture. ptcpdump comments every packet.
pub const MAX_COMMENTED_PACKETS: usize = 2 << 20;
/// Most bytes of comments kept of a capture, each text once.
pub const MAX_COMMENT_BYTES: usize = 32 << 20;
/// Most host names kept of a capture.
pub const MAX_HOST_NAMES: usize = 65_536;
/// Most sections and interfaces listed of a capture.
pub const MAX_LISTED: usize = 1024;

/// The comments of packets, each text once: ptcpdump writes that of a process or a pod with each of its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// Packet number and index of the text, in the order of the file.
    packets: Vec<(u32, u32)>,
    texts: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32, foldhash::fast::FixedState>,
    bytes: usize,
}

impl Comments {
    /// The comments of a packet, in the order of the file.
    pub fn of(&self, frame: u32) -> impl Iterator<Item = &str> {
        let start = self.packets.partition_point(|&(number, _)| number < frame);
        let same = self.packets[start..].iter().take_while(move |&&(number, _)| number == frame);
        same.filter_map(|&(_, text)| self.texts.get(text as usize).map(AsRef::as_ref))
    }

    /// How many comments packets have.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether no packet has one.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Adds a comment to the last packet or a later one; says whether there was room.
    pub(super) fn add(&mut self, frame: u32, text: &str) -> bool {
        if self.packets.len() >= MAX_COMMENTED_PACKETS {
            return false;
        }
        let place = match self.index.get(text) {
            Some(&known) => known,
            None if self.bytes + text.len() > MAX_COMMENT_BYTES => return false,
            None => {
                let (text, place): (Arc<str>, _) = (text.into(), self.texts.len() as u32);
                self.bytes += text.len();
                self.texts.push(Arc::clone(&text));
                self.index.insert(text, place);
                place
            }
        };
        self.packets.push((frame, place));
        true
    }
}

/// What a section header says of the capture's making. Empty texts where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionInfo {
    /// The machine.
    pub hardware: String,
    /// Its operating system.
    pub os: String,
    /// The program that captured.
    pub application: String,
    /// What somebody noted of the section.
    pub comment: String,
}

/// What a pcapng file says of an interface. Empty texts and `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name, such as `eth0`.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Its hardware, in words.
    pub hardware: String,
    /// Link type, as in [`super::CaptureInfo::link_types`].
    pub link_type: String,
    /// What somebody noted of it.
    pub comment: String,
    /// Packets that came in while it was captured.
    pub received: Option<u64>,
    /// Packets that the filter let through.
    pub accepted: Option<u64>,
    /// Packets that the interface lost for want of resources.
    pub dropped_by_interface: Option<u64>,
    /// Packets that the operating system lost, filtered ones not counted.
    pub dropped_by_system: Option<u64>,
}

impl InterfaceInfo {
    /// Packets lost here, as far as the capturing program knew.
    pub fn dropped(&self) -> u64 {
        let [interface, system] =
            [self.dropped_by_interface, self.dropped_by_system].map(Option::unwrap_or_default);
        interface.saturating_add(system)
    }
}

/// All of it, as far as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) comments: Comments,
    pub(super) host_names: Vec<(IpAddr, String)>,
    pub(super) sections: Vec<SectionInfo>,
    pub(super) interfaces: Vec<InterfaceInfo>,
    /// Packets that packet blocks say were lost in front of them.
    pub(super) lost_before: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_by_packet_and_bounded() {
        let mut comments = Comments::default();
        assert!(comments.add(3, "pod a") && comments.add(3, "twice") && comments.add(900, "pod a"));
        assert_eq!(comments.of(3).collect::<Vec<_>>(), ["pod a", "twice"]);
        assert_eq!(comments.of(900).collect::<Vec<_>>(), ["pod a"]);
        assert_eq!((comments.of(4).count(), comments.len(), comments.texts.len()), (0, 3, 2));
        let long = "x".repeat(MAX_COMMENT_BYTES);
        assert!(!comments.add(901, &long));
        assert!(comments.add(901, "pod a"), "a known text takes no room");
    }
}
