//! Names for captures, packets and times, so that none can be taken for another.

use serde::{Deserialize, Serialize};

/// A capture of the session: its index in the order in which the paths were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaptureId(pub u16);

impl CaptureId {
    /// The index into the session's list of captures.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A packet: its capture, and its number in that file from 1, as Wireshark counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The capture that holds the packet.
    pub capture: CaptureId,
    /// The packet's number in its file, from 1.
    pub number: u32,
}

/// A time by the clock of one capture: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaptureTime(pub i64);

/// A time after clock alignment, comparable across captures: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionTime(pub i64);

impl SessionTime {
    /// Nanoseconds from `earlier` to `self`; negative when `self` is the earlier one.
    #[inline]
    pub fn since_ns(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
