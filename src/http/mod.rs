//! Streams to messages, and messages to exchanges. One file a wire protocol.

mod conversation;
mod facts;
mod head;
mod load;
mod sniff;
mod stream;
#[cfg(test)]
mod tests;

pub use facts::{
    CaptureFacts, Exchange, ExchangeFlags, Framing, HeaderDigest, Message, MessageState, Method, NameId,
    Protocol, Text, Version,
};

pub use load::{load_file, load_from};
