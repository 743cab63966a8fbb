"""A gRPC server, or a client that makes a round of calls, with grpcio: no service is compiled,
messages are bytes."""
import argparse
import sys
from concurrent import futures

import grpc

parser = argparse.ArgumentParser()
parser.add_argument('what', choices=['serve', 'call'])
parser.add_argument('--port', type=int, required=True)
parser.add_argument('--cert')
parser.add_argument('--key')
parser.add_argument('--rounds', type=int, default=1)
given = parser.parse_args()


def fail(code, details):
    def handler(_request, context):
        context.abort(code, details)
    return handler


def whole(requests, _context):
    return b'x' * sum(len(request) for request in requests)


def echo(requests, _context):
    for request in requests:
        yield request


HANDLERS = {
    'Say': grpc.unary_unary_rpc_method_handler(lambda request, _context: request),
    'Missing': grpc.unary_unary_rpc_method_handler(fail(grpc.StatusCode.NOT_FOUND, 'no such thing')),
    'Refuse': grpc.unary_unary_rpc_method_handler(fail(grpc.StatusCode.UNAUTHENTICATED, 'who are you')),
    'Count': grpc.unary_stream_rpc_method_handler(lambda _request, _context: iter([b'1', b'2', b'3'])),
    'Collect': grpc.stream_unary_rpc_method_handler(whole),
    'Echo': grpc.stream_stream_rpc_method_handler(echo),
}


def read(path):
    with open(path, 'rb') as file:
        return file.read()


if given.what == 'serve':
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('lab.Voice', HANDLERS)])
    address = f'127.0.0.1:{given.port}'
    if given.cert:
        pair = (read(given.key), read(given.cert))
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    server.start()
    print('listening', flush=True)
    sys.stdin.read()
    server.stop(0)
else:
    address = f'localhost:{given.port}'
    if given.cert:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(read(given.cert)))
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        for _ in range(given.rounds):
            assert channel.unary_unary('/lab.Voice/Say')(b'hello') == b'hello'
            for method in ('Missing', 'Refuse', 'Unknown'):
                try:
                    channel.unary_unary(f'/lab.Voice/{method}')(b'x')
                    sys.exit(f'{method} was answered')
                except grpc.RpcError:
                    pass
            assert len(list(channel.unary_stream('/lab.Voice/Count')(b''))) == 3
            parts = [b'a' * 10, b'b' * 20000, b'', b'c']
            assert len(channel.stream_unary('/lab.Voice/Collect')(iter(parts))) == 20011
            assert list(channel.stream_stream('/lab.Voice/Echo')(iter([b'a', b'b']))) == [b'a', b'b']
    print('done', flush=True)
