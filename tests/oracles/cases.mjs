// What an SDK is asked: one sound request, and what must not pass for one. An oracle is
//
//   { provider, sdk, secret, sign(request), verify(request), … }
//
// `sign` gives the headers (and may give another URL or body), `verify` is the SDK's own word: neither false nor an exception.
// `shown` makes of the secret what the receiver has, where that is a public key.

import { createHash, createHmac } from 'node:crypto';

/** The moment at which all of it happens. */
export const NOW = 1760000000;

export const hmac = (key, text, { hash = 'sha256', as = 'hex' } = {}) => createHmac(hash, key).update(text).digest(as);

export const sha256 = (text, as = 'hex') => createHash('sha256').update(text).digest(as);

/** A JWT by HMAC. */
export function jwt(key, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${hmac(key, signed, { as: 'base64url' })}`;
}

const PLAIN = '{"id":"evt_1","type":"order.created","data":{"total":49.9}}';
const UNICODE = '{"id":"evt_2","type":"order.created","data":{"name":"Zoë 日本 🪝","note":"\\u00e9\\n"}}';

/** What may be asked; each signs, and says which part is not as it was signed. */
const CASES = {
  plain: {},
  unicode: { body: UNICODE },
  // Pretty-printed: an SDK that writes JSON anew before it signs would not see it.
  spaced: { body: `${JSON.stringify(JSON.parse(PLAIN), null, 2)}\r\n` },
  empty: { body: '' },
  'altered body': { breaks: (request) => ({ ...request, body: request.body.replace('49.9', '49.8') }) },
  'altered URL': { breaks: (request) => ({ ...request, url: `${request.url}&more=1` }) },
  'another secret': { breaks: (request, oracle) => ({ ...request, secret: oracle.otherSecret ?? `${oracle.secret.slice(0, -4)}AAAA` }) },
  stale: { at: NOW - 3600, breaks: (request) => request },
  // While a secret is rolled, the header carries a signature for the old one and for the new one.
  rotated: { with: (oracle, sign) => oracle.rotate(sign(oracle.otherSecret ?? 'the secret of before'), sign(oracle.secret)) },
};

const USUAL = ['plain', 'unicode', 'altered body', 'another secret'];

async function answer(oracle, request) {
  try {
    const verdict = await oracle.verify(request);
    return verdict !== false && verdict !== null;
  } catch {
    return false;
  }
}

async function signed(oracle, name) {
  const { body = oracle.body ?? PLAIN, at = NOW, ...rest } = CASES[name];
  const url = oracle.url ?? 'https://hooks.example.com/in/sample?a=1';
  const sign = (secret) => oracle.sign({ secret, at, url, body: typeof body === 'function' ? body(at) : body });
  const made = await (rest.with ? rest.with(oracle, sign) : sign(oracle.secret));
  const request = { secret: oracle.secret, url, body: typeof body === 'function' ? body(at) : body, ...made };
  return rest.breaks ? rest.breaks(request, oracle) : request;
}

async function vector(oracle, name) {
  const request = await signed(oracle, name);
  const isValid = await answer(oracle, request);
  // An SDK that sees it otherwise than meant was called wrongly, or is a finding.
  if (isValid === 'breaks' in CASES[name]) throw new Error(`${oracle.provider}, ${name}: ${oracle.sdk} says ${isValid}`);
  const { provider, sdk, config, shown = (secret) => secret } = oracle;
  const { secret, headers, url, body } = request;
  const known = { secret: shown(secret), headers, method: 'POST', url, body, now_unix: NOW };
  return { provider, source: sdk, kind: 'sdk', ...known, ...(config && { config }), expect: isValid ? 'valid' : 'invalid', note: name };
}

/** The vectors of an oracle, or why there are none. */
export async function vectors(oracle) {
  const made = [];
  for (const name of oracle.cases ?? [...USUAL, ...(oracle.more ?? [])]) made.push(await vector(oracle, name));
  return made;
}
