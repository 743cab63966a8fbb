//! What the protocol stage met.

use crate::stream::counts;

counts! {
    /// Messages read, and everything odd about them.
    ProtocolCounts {
        /// Request heads read.
        requests,
        /// Final response heads read.
        responses,
        /// Interim responses (100, 103 and the like) read and passed over.
        interim_responses,
        /// Connections that turned out to speak HTTP/1.
        http1,
        /// Connections that turned out to speak HTTP/2.
        http2,
        /// Connections that a proxy opened for its client (PROXY protocol).
        proxied,
        /// Connections that are TLS.
        tls,
        /// Connections that speak something else.
        not_http,
        /// Connections that left HTTP by Upgrade or CONNECT.
        upgraded,
        /// Bytes after an Upgrade or CONNECT.
        tunnel_bytes,
        /// Bytes of connections that do not speak HTTP.
        ignored_bytes,
        /// Heads that do not follow the grammar.
        invalid_heads,
        /// Heads longer than the bound.
        heads_too_large,
        /// Heads with more fields than the bound.
        too_many_fields,
        /// Heads given up because incomplete heads of all connections took too much memory.
        heads_over_budget,
        /// Heads cut short by lost bytes or by the end of the connection.
        heads_cut,
        /// Bodies cut short by lost bytes or by the end of the connection.
        bodies_cut,
        /// Chunked bodies that do not follow the grammar.
        invalid_chunks,
        /// Messages with lengths that contradict each other: smuggling risk.
        conflicting_lengths,
        /// Messages with folded lines, bare LF or other syntax that not everybody takes.
        lax_syntax,
        /// Responses that could not be given to a request with certainty.
        orphan_responses,
        /// Requests whose response was lost or could not be told with certainty.
        unpaired_requests,
        /// Requests dropped because too many were waiting on one connection.
        in_flight_over_limit,
        /// Times a message boundary was lost and had to be searched.
        boundaries_lost,
        /// Bytes passed over in search of a message boundary.
        searched_bytes,
        /// Requests to leave bytes of a body out of the capture.
        skip_requests,
        /// Bodies that the kernel half began to leave out and that are not read as it does.
        skips_disputed,
        /// Bodies left out by the kernel half that might have named an operation or an error.
        peeks_cut,
        /// HTTP/2 frames read.
        frames,
        /// HTTP/2 frames that break the rules of their type or of their place.
        invalid_frames,
        /// HTTP/2 header blocks that do not follow the grammar of HPACK.
        invalid_header_blocks,
        /// Fields that refer to HPACK table entries which were not seen.
        unknown_fields,
        /// HPACK tables forgotten because those of all connections took too much memory.
        tables_over_budget,
        /// HTTP/2 header blocks longer, or in more pieces, than any honest sender needs.
        continuation_floods,
        /// HTTP/2 streams reset by an endpoint.
        resets,
        /// Responses that an HTTP/2 server promised without being asked.
        push_promises,
    }
}
