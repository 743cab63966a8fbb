"""A gRPC server that refuses every credential (16), or, with `ask`, a client that tries many."""

import sys
import threading
from concurrent import futures

import grpc

way, port = sys.argv[1:]


class Refuse(grpc.GenericRpcHandler):
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        )


if way == "serve":
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Refuse()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    threading.Event().wait()
else:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/shop.Orders/List")
        for number in range(20):
            try:
                ask(b"", metadata=[("authorization", f"Bearer guess-number-{number}")], timeout=10)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
