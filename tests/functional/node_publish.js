// Publish an FLV file with the client of node-media-server: node_publish.js PACKAGE FILE URL
//
// Its relays push with this client. It writes message stream 0 into every audio, video and data message, whatever
// createStream returned.
const fs = require('fs');
const path = require('path');
const [folder, file, url] = process.argv.slice(2);
require(path.join(folder, 'src/node_core_logger')).setLogType(0);
const Client = require(path.join(folder, 'src/node_rtmp_client'));

function tags(data) {
  const found = [];
  for (let at = 13; at + 11 <= data.length;) {
    const size = data.readUIntBE(at + 1, 3);
    const timestamp = data.readUIntBE(at + 4, 3) + data[at + 7] * 0x1000000;
    found.push({ type: data[at], timestamp, payload: data.subarray(at + 11, at + 11 + size) });
    at += 11 + size + 4;
  }
  return found;
}

const client = new Client(url);
const queue = tags(fs.readFileSync(file));
let began = 0;

function send() {
  if (!began) began = Date.now();
  while (queue.length && queue[0].timestamp <= Date.now() - began) {
    const { type, timestamp, payload } = queue.shift();
    if (type === 8) client.pushAudio(payload, timestamp);
    else if (type === 9) client.pushVideo(payload, timestamp);
    else if (type === 18) client.pushScript(payload, timestamp);
  }
  if (queue.length) setTimeout(send, 5);
  else client.socket.end(() => process.exit(0)); // without a goodbye, as when its server is stopped
}

client.on('status', (info) => {
  if (info.code === 'NetStream.Publish.Start') send();
  else if (info.level === 'error') process.exit(1);
});
client.on('close', () => process.exit(queue.length ? 1 : 0));
client.startPush();
