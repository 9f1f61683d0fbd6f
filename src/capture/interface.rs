//! An interface of a pcapng section: what its packets start with, and what a tick of its timestamps is.

use super::{CaptureTime, LinkType};

#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    pub(super) link_type: LinkType,
    pub(super) snap_len: u32,
    pub(super) unit: Unit,
    pub(super) offset_ns: i64,
}

/// What one unit of an interface's timestamps is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// This many nanoseconds.
    Nanos(u64),
    /// This part of a nanosecond.
    PerNano(u64),
    /// 2^-n seconds.
    PowerOfTwo(u8),
}

impl Interface {
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> CaptureTime {
        let ns = match self.unit {
            Unit::Nanos(factor) => ticks.saturating_mul(factor),
            Unit::PerNano(divisor) => ticks / divisor,
            Unit::PowerOfTwo(shift) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> shift).unwrap_or(u64::MAX)
            }
        };
        CaptureTime(i64::try_from(ns).unwrap_or(i64::MAX).saturating_add(self.offset_ns))
    }
}

impl Unit {
    /// The option `if_tsresol`: a negative power of ten, or of two where the top bit is set.
    pub(super) fn from_resolution(resolution: u8) -> Self {
        let exponent = resolution & 0x7F;
        if resolution & 0x80 != 0 {
            return Self::PowerOfTwo(exponent);
        }
        match 9_u32.checked_sub(u32::from(exponent)) {
            Some(digits) => Self::Nanos(10_u64.pow(digits)),
            // Beyond 10^-28 s all that 64 bits hold is less than a nanosecond.
            None => Self::PerNano(10_u64.checked_pow(u32::from(exponent) - 9).unwrap_or(u64::MAX)),
        }
    }
}
