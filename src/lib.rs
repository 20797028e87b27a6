//! netc: a declarative network-spec toolchain.
#![allow(missing_docs)]
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod diagnostic;
pub mod ir;
pub mod op;
pub mod plan;
pub mod random;
pub mod run;
pub mod source;
pub mod syntax;
