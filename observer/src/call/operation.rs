//! What a call asks for where its URL alone does not say.

use super::ApiCall;

/// The convention that names the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationKind {
    /// `package.Service/Method` of gRPC, gRPC-Web and Connect.
    Grpc,
    /// First element in the body of a SOAP envelope, else the action.
    Soap,
    /// `methodName` of XML-RPC.
    XmlRpc,
    /// `method` of JSON-RPC.
    JsonRpc,
    /// Type and name of a GraphQL operation.
    GraphQl,
    /// A batch of OData requests.
    OData,
    /// `X-Amz-Target`, or `Action` of a query API of AWS.
    Aws,
}

impl OperationKind {
    /// The word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Soap => "soap",
            Self::XmlRpc => "xmlrpc",
            Self::JsonRpc => "jsonrpc",
            Self::GraphQl => "graphql",
            Self::OData => "odata",
            Self::Aws => "aws",
        }
    }
}

/// One or more operations of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub kind: OperationKind,
    /// Names, in order, with a comma and a blank between them.
    pub name: String,
    /// How many, if all were seen.
    pub count: Option<u32>,
}

impl ApiCall {
    /// Takes an operation over, unless the protocol has named one.
    pub(super) fn ask(&mut self, operation: Option<Operation>) {
        if let (Some(Operation { kind, name, count }), None) = (operation, self.operation_kind) {
            self.operation = Some(name);
            self.operation_kind = Some(kind);
            self.operations = count;
        }
    }
}

/// Longest name of one operation that is kept, characters.
const MAX_NAME: usize = 128;

/// Names of a batch that are kept; the others are counted.
const MAX_NAMES: usize = 8;

/// Collects the names of the operations of one call.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: String,
    count: u32,
    /// Of the first operation.
    pub kind: Option<OperationKind>,
}

impl Names {
    /// Adds an operation; those of another convention than the first are none.
    pub(super) fn add(&mut self, kind: OperationKind, words: &[&str]) {
        if *self.kind.get_or_insert(kind) != kind {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.count as usize > MAX_NAMES {
            return;
        }
        if !self.text.is_empty() && !words.is_empty() {
            self.text.push_str(", ");
        }
        let start = self.text.len();
        for word in words.iter().filter(|word| !word.is_empty()) {
            if self.text.len() > start {
                self.text.push(' ');
            }
            let plain = |char: char| if char.is_control() { '?' } else { char };
            self.text.extend(word.chars().take(MAX_NAME).map(plain));
        }
    }

    /// Gives what was added one name for all.
    pub(super) fn call_all(&mut self, name: &str) {
        if self.kind.is_some() {
            self.text.clear();
            self.text.push_str(name);
        }
    }

    /// What was added; `whole`: nothing can have been missed.
    pub(super) fn take(self, whole: bool) -> Option<Operation> {
        let Self { text, count, kind } = self;
        Some(Operation {
            kind: kind?,
            name: text,
            count: whole.then_some(count),
        })
    }
}
