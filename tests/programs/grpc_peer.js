// A gRPC server, or a client that makes a round of calls, with grpc-js: no service is compiled,
// messages are bytes. The folder that has the package is named by NODE_PATH.
'use strict';
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');

const [what, ...given] = process.argv.slice(2);
const option = (name) => {
  const at = given.indexOf(`--${name}`);
  return at < 0 ? undefined : given[at + 1];
};
const port = option('port');
const cert = option('cert') && fs.readFileSync(option('cert'));
const same = (bytes) => bytes;
const method = (name, requestStream, responseStream) => ({
  path: `/lab.Voice/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const service = {
  Say: method('Say', false, false),
  Missing: method('Missing', false, false),
  Refuse: method('Refuse', false, false),
  Count: method('Count', false, true),
  Collect: method('Collect', true, false),
  Echo: method('Echo', true, true),
};

function serve() {
  const server = new grpc.Server();
  server.addService(service, {
    Say: (call, done) => done(null, call.request),
    Missing: (call, done) => done({ code: grpc.status.NOT_FOUND, details: 'no such thing' }),
    Refuse: (call, done) => done({ code: grpc.status.UNAUTHENTICATED, details: 'who are you' }),
    Count: (call) => {
      for (const text of ['1', '2', '3']) call.write(Buffer.from(text));
      call.end();
    },
    Collect: (call, done) => {
      let sum = 0;
      call.on('data', (part) => { sum += part.length; });
      call.on('end', () => done(null, Buffer.alloc(sum, 'x')));
    },
    Echo: (call) => {
      call.on('data', (part) => call.write(part));
      call.on('end', () => call.end());
    },
  });
  const credentials = cert
    ? grpc.ServerCredentials.createSsl(null, [{
      cert_chain: cert, private_key: fs.readFileSync(option('key')),
    }])
    : grpc.ServerCredentials.createInsecure();
  server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => {
    if (error) throw error;
    console.log('listening');
  });
  process.stdin.on('end', () => process.exit(0)).resume();
}

async function call() {
  const credentials = cert ? grpc.credentials.createSsl(cert) : grpc.credentials.createInsecure();
  const client = new grpc.Client(`localhost:${port}`, credentials);
  const unary = (name, text) => new Promise((resolve) => {
    client.makeUnaryRequest(`/lab.Voice/${name}`, same, same, Buffer.from(text),
      (error, answer) => resolve(error ? error.code : answer.toString()));
  });
  const wanted = (seen, expected) => {
    if (seen !== expected) throw new Error(`${seen} instead of ${expected}`);
  };
  const received = (stream) => new Promise((resolve, reject) => {
    let count = 0;
    stream.on('data', () => { count += 1; });
    stream.on('error', reject);
    stream.on('end', () => resolve(count));
  });
  for (let round = 0; round < Number(option('rounds') || 1); round += 1) {
    wanted(await unary('Say', 'hello'), 'hello');
    wanted(await unary('Missing', 'x'), 5);
    wanted(await unary('Refuse', 'x'), 16);
    wanted(await unary('Unknown', 'x'), 12);
    wanted(await received(client.makeServerStreamRequest('/lab.Voice/Count', same, same, Buffer.alloc(0))), 3);
    wanted(await new Promise((resolve, reject) => {
      const stream = client.makeClientStreamRequest('/lab.Voice/Collect', same, same,
        (error, answer) => (error ? reject(error) : resolve(answer.length)));
      for (const len of [10, 20000, 0, 1]) stream.write(Buffer.alloc(len, 'a'));
      stream.end();
    }), 20011);
    const echo = client.makeBidiStreamRequest('/lab.Voice/Echo', same, same);
    const seen = received(echo);
    echo.write(Buffer.from('a'));
    echo.write(Buffer.from('b'));
    echo.end();
    wanted(await seen, 2);
  }
  client.close();
  console.log('done');
}

if (what === 'serve') serve();
else call().catch((error) => { console.error(error); process.exit(1); });
