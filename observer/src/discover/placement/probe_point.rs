//! One place for one probe.

/// One place for one probe in a library file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Function it belongs to: the exported name, or `ssl_read_internal`, `ssl_write_internal` for
    /// the function inside that `SSL_read` and `SSL_read_ex` share, whatever its symbol.
    pub function: String,
    /// Offset in the file of the instruction under the probe, in bytes.
    pub file_offset: u64,
    /// What the probe finds there.
    pub site: Site,
    /// How the call tells what it moved; `None` for [`Site::Free`].
    pub call: Option<TlsCall>,
    /// The instruction, for reports: `push r13`, `jne 0x354ee`.
    pub instruction: String,
    /// The kernel emulates it. `false`: it is single-stepped, about ten times slower.
    pub emulated: bool,
}

/// What a probe finds at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// A uprobe. The arguments are still in their registers: `rdi` TLS object, `rsi` buffer,
    /// `rdx` length, `rcx` and `r8` if the function has a fourth and fifth. For the `int` length
    /// of `SSL_read` and `SSL_write` only the lower half of `rdx` counts. With
    /// [`PassedOver::OtherRecords`] `rsi` is the type and `rdx` the buffer.
    Entry,
    /// A uprobe. `eax` holds what the function will return; every path from the entry to a `ret`
    /// passes here once.
    Return,
    /// A uretprobe. At this instruction `rsp` is still as the caller left it, so the return
    /// address is where the kernel looks for it.
    CallReturn,
    /// A uprobe. `rdi` is a TLS object whose life ends here, if it had one: it is about to be freed
    /// (or to lose one reference), or it begins a handshake.
    Free,
    /// A uprobe in Go's own TLS. Receiver, buffer and length are still in `rax`, `rbx`, `rcx`.
    GoEntry,
    /// A uprobe in a read of Go's own TLS, on the call that copies what was decrypted: its place is
    /// in `rbx` and its length in `rcx`, and the receiver lies 16 bytes above where `rbp` points.
    GoCopy,
    /// A uprobe on a `ret` of Go's own TLS; `rax` is the number of bytes.
    GoReturn,
    /// A uprobe in Go's own TLS. `rax` is the connection that is closed.
    GoClose,
    /// A uprobe in the record layer of rustls, on a function that encrypts: place of the result,
    /// object, message and sequence number are still in `rdi`, `rsi`, `rdx`, `rcx`.
    RecordEncrypt,
    /// The same on a function that decrypts.
    RecordDecrypt,
    /// A uretprobe on a function of the record layer of rustls that decrypts; `rax` is the place of
    /// the result.
    RecordDecrypted,
}

/// How a read or write function tells what it moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsCall {
    /// Which way the plaintext goes.
    pub direction: TlsDirection,
    /// Where the number of bytes is when the function returns.
    pub count: CountIn,
    /// Which of its calls do not count.
    pub passed_over: PassedOver,
}

/// Which calls of a function move nothing that was not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PassedOver {
    /// All count.
    #[default]
    None,
    /// Those whose fourth argument, an `int` of flags, is not 0: they peek.
    WithFlags,
    /// Those inside a call of [`CountIn::Nothing`].
    Inside,
    /// Those whose second argument, the type of what records hold, is not that of application data.
    /// Buffer and length come behind it.
    OtherRecords,
}

/// Which way plaintext goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsDirection {
    /// Read: the buffer is filled when the function returns.
    Inbound,
    /// Written: the buffer is full when the function is entered.
    Outbound,
}

/// Where the number of bytes moved is when the function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountIn {
    /// The `int` result, if it is above 0.
    ReturnValue,
    /// The `size_t` that the fourth argument (`rcx` at entry) points to, if the result is above 0.
    PointerIn4th,
    /// The `size_t` that the fifth argument (`r8` at entry) points to, if the result is above 0.
    PointerIn5th,
    /// Nowhere: the calls inside it hand over what was counted before.
    Nothing,
}
