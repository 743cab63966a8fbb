// Node's http or https server with the paths and the access log that the live tests share.
'use strict';
const fs = require('node:fs');

const given = process.argv.slice(2);
const option = (name) => {
  const at = given.indexOf(`--${name}`);
  return at < 0 ? undefined : given[at + 1];
};
const port = Number(option('port'));
const log = fs.openSync(option('log'), 'a');

function handle(request, response) {
  let received = 0;
  request.on('data', (part) => { received += part.length; });
  request.on('end', () => {
    const [kind, number] = request.url.split('?')[0].slice(1).split('/');
    let status = 200;
    let body = 'hello';
    if (kind === 'status') {
      status = Number(number);
      body = status === 204 ? '' : `status ${number}`;
    } else if (kind === 'bytes') {
      body = 'x'.repeat(Number(number));
    } else if (request.method === 'POST' || request.method === 'PUT') {
      status = 201;
      body = 'taken';
    } else if (request.url !== '/') {
      status = 404;
      body = 'nothing here';
    }
    const headers = {};
    if (status === 401) headers['WWW-Authenticate'] = 'Basic realm="x"';
    const chunked = kind === 'chunked';
    if (chunked) {
      status = 200;
      body = 'x'.repeat(Number(number));
    } else if (status !== 204) {
      headers['Content-Length'] = Buffer.byteLength(body);
    }
    const { remotePort } = request.socket;
    response.on('finish', () => {
      const sent = request.method === 'HEAD' || status === 204 ? 0 : Buffer.byteLength(body);
      fs.writeSync(log, `${JSON.stringify({
        method: request.method, uri: request.url, status, response_bytes: sent,
        request_bytes: received, client_port: remotePort, server_port: port, pid: process.pid,
      })}\n`);
    });
    response.writeHead(status, headers);
    if (chunked) {
      // In several writes, which become several chunks.
      for (let at = 0; at < body.length; at += 1000) response.write(body.slice(at, at + 1000));
      response.end();
    } else {
      response.end(body);
    }
  });
}

function listen() {
  const cert = option('cert');
  const server = cert
    ? require('node:https').createServer(
      { cert: fs.readFileSync(cert), key: fs.readFileSync(option('key')) }, handle)
    : require('node:http').createServer(handle);
  server.listen(port, option('address') || '127.0.0.1', () => console.log('listening'));
}

if (given.includes('--wait')) {
  console.log('waiting');
  process.stdin.once('data', listen);
} else {
  listen();
}
