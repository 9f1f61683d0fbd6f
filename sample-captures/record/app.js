// The shop API of app.py for node: node app.js HOST PORT KEEP_ALIVE_MS LOG
'use strict';
const fs = require('fs');
const http = require('http');

const [host, port, keepAliveMs, log] = process.argv.slice(2);
const workMs = Number(process.env.APP_WORK_MS || 2);

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', part => parts.push(part));
  request.on('end', () => setTimeout(() => {
    const number = Number(request.url.replace(/\D/g, '') || 0);
    const answer = request.method === 'POST'
      ? { order: number, accepted: true, lines: JSON.parse(Buffer.concat(parts)).lines.length }
      : { id: number, name: `item ${number}`, reviews: number % 25 ? [] : Array(60).fill('quite satisfied') };
    const data = JSON.stringify(answer);
    response.setHeader('Content-Type', 'application/json');
    if (number % 10 === 3) {
      response.write(data.slice(0, 9)); // chunked
      response.end(data.slice(9));
    } else {
      response.setHeader('Content-Length', data.length);
      response.end(data);
    }
    fs.appendFileSync(log, `"${request.method} ${request.url} HTTP/${request.httpVersion}" 200 ` +
      `id=${request.headers['x-request-id'] || '-'}\n`);
  }, workMs * (0.3 + 1.4 * Math.random())));
});
server.keepAliveTimeout = Number(keepAliveMs);
server.listen({ host, port: Number(port), backlog: 512 });
