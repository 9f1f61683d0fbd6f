//! Streams to messages, and messages to exchanges. One file a wire protocol.

mod conversation;
mod facts;
mod flags;
mod head;
mod load;
pub(crate) mod reload;
mod sniff;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use facts::{
    CaptureFacts, Exchange, Framing, HeaderDigest, LentBytes, Message, MessageState, Method, NameId,
    Protocol, Text, Version,
};
pub use flags::ExchangeFlags;
pub use wire::{FirstBytes, WireFacts};

pub use load::{load_file, load_from};
