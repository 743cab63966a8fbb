// A login that answers 200 whatever it thinks of the password, and GraphQL that refuses inside
// a 200.
'use strict';
const http = require('node:http');

http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    let answer = { ok: false, message: 'wrong name or password' };
    if (request.url === '/graphql') {
      answer = { data: null, errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }] };
    } else if (body.includes('right password')) {
      answer = { ok: true };
      response.setHeader('Set-Cookie', 'session=abcdefghijklmnop; HttpOnly');
    }
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(answer));
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
