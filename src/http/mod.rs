//! Streams to messages, and messages to exchanges. One file a wire protocol.

mod again;
pub mod body;
pub mod content;
mod conversation;
mod digest;
mod extents;
mod facts;
mod familiar;
mod fastcgi;
mod flags;
mod head;
mod http1;
mod lenient;
mod load;
mod message;
mod oddity;
mod protocols;
mod proxy;
mod reading;
pub(crate) mod reload;
pub mod show;
mod sniff;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod unpack;
mod uwsgi;
mod vars;
mod wire;

pub use digest::HeaderDigest;
pub use facts::{CaptureFacts, Exchange, LentBytes};
pub use flags::ExchangeFlags;
pub use message::{Framing, Message, MessageState, Method, NameId, Protocol, Text, Version};
pub use proxy::PROXY_EXTRAS;
pub use tls::{TlsAlert, TlsEnd, TlsFacts, TlsMessage, TlsStep};
pub use wire::{FirstBytes, HandOver, HandOverWay, ProxyHeader, SaidAside, WireFacts};

pub use load::{load_file, load_from};
