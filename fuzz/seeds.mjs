// Makes corpus/ of the vectors and of the catalogue: a dozen files for each target to begin with.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const at = (path) => new URL(path, import.meta.url);
const text = (path) => readFileSync(at(path), 'utf8');
const vectors = ['../tests/vectors.json', '../tests/oracles/vectors.json'].flatMap((path) => JSON.parse(text(path)));
const valid = (provider) => vectors.find((vector) => vector.provider === provider && vector.expect === 'valid');
const seed = (target, name, content) => {
  mkdirSync(at(`corpus/${target}`), { recursive: true });
  writeFileSync(at(`corpus/${target}/${name}`), content);
};

// One of each way in which a proof stands in a request.
const KINDS = ['adyen', 'aws-sns', 'braintree', 'coinbase-cdp', 'contentful', 'ebay', 'github', 'mercadopago', 'orb', 'paddle', 'qstash', 'stripe', 'svix', 'twilio', 'twilio-json'];
for (const provider of KINDS) {
  const { method, url, headers, body } = valid(provider);
  const target = url.slice(url.indexOf('/', 'https://'.length));
  const lines = Object.entries(headers).map(([name, value]) => `${name.toLowerCase()}: ${value}`);
  seed('request', provider, `${[`${provider} ${method} ${target}`, ...lines].join('\n')}\n\n${body}`);
}
seed('request', 'mailgun', 'mailgun POST /\ncontent-type: application/x-www-form-urlencoded\n\ntimestamp=1&token=a&signature=00');
seed('request', 'x-handshake', 'x GET /?crc_token=sample\n\n');

const BODIES = ['', '{}', 'a=1&b=%20', '{"id":"evt_1","total":49.9}', 'Zoë 日本 🪝', '\0\r\n'];
for (const [number, body] of BODIES.entries()) {
  seed('signed', `body-${number}`, Buffer.concat([Buffer.from([number, number, 0, 65]), Buffer.from(body)]));
  seed('signed', `header-${number}`, Buffer.concat([Buffer.from([number + 6, 1 + 2 * number, 0, 65]), Buffer.from(body)]));
}

for (const [number, provider] of ['messagebird', 'qstash', 'livekit', 'vonage', 'atlassian-connect'].entries()) {
  const { headers, body } = valid(provider);
  const token = Object.values(headers).find((value) => value.split('.').length === 3).replace(/^\w+ /, '');
  const [head, claims] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  const which = [1, 2, 3, 5, 6][number];
  seed('jwt', provider, `${String.fromCharCode(which)}${head}\n${claims}\n${body}`);
  seed('jwt', `${provider}-none`, `${String.fromCharCode(which)}{"alg":"none"}\n${claims}\n${body}`);
}
seed('jwt', 'netlify', '\0{"alg":"HS256","typ":"JWT"}\n{"iss":"netlify","sha256":"","exp":1760000060,"nbf":1.5e9}\n');
seed('jwt', 'monday', '\u0004{"alg":"HS256","crit":["b64"],"b64":false}\n{"aud":"https://hooks.example.com/in/sample?a=1","exp":"1760000060"}\n{}');

for (const provider of ['aws-sns', 'discord', 'ebay', 'easypost', 'github', 'sendgrid', 'standard-webhooks', 'telnyx', 'adyen', 'finch', 'polar', 'twilio'])
  seed('secret', provider, valid(provider).secret);

const FILES = ['affirm', 'aws-sns', 'cloudinary', 'coinbase-cdp', 'configcat', 'contentful', 'ebay', 'fal', 'mercadopago', 'messagebird', 'solidgate', 'twilio-json', 'x'];
for (const name of FILES) {
  const file = text(`../runtime/catalogue/${name}.toml`);
  seed('catalogue', `${name}.toml`, file.replace(`name = "${name}"`, 'name = "sample"'));
  const message = /^message = "(.*)"$/m.exec(file)?.[1];
  if (message) seed('template', name, message);
}
seed('template', 'form', '{url}{form_sorted}{form:a|lower}');
seed('template', 'pointer', '{json:/data/total}:{?{json:/none}}{{}');
// Once a panic.
seed('template', 'empty-optional', '{?}{body}');
