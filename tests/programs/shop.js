// A shop whose interface shop.json describes. Port, then certificate and key of a server over TLS.
'use strict';
const fs = require('node:fs');

const [port, cert, key] = process.argv.slice(2);
const routes = [
  ['GET', /^\/v1\/orders$/, 200],
  ['POST', /^\/v1\/orders$/, 201],
  ['GET', /^\/v1\/orders\/(\d{1,5})$/, 200],
  ['DELETE', /^\/v1\/orders\/\d{1,5}$/, 204],
  ['GET', /^\/v1\/customers\/[0-9a-f-]{36}\/addresses$/, 200],
  // Nobody wrote that down.
  ['GET', /^\/v1\/internal\/dump$/, 200],
];

function handle(request, response) {
  const path = request.url.split('?')[0];
  const found = routes.find(([method, form]) => method === request.method && form.test(path));
  const status = found ? found[2] : 404;
  request.resume();
  request.on('end', () => {
    const body = status === 204 ? '' : '{}';
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
    response.end(body);
  });
}

const server = cert
  ? require('node:https').createServer(
    { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, handle)
  : require('node:http').createServer(handle);
server.listen(Number(port), '127.0.0.1');
