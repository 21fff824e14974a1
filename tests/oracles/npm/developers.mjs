// Tools of developers.

import { signRequest, verifyRequest } from '@contentful/node-apps-toolkit';
import { isValidWebhookSignature } from '@fingerprint/node-sdk';
import { signatureHelper } from '@kontent-ai/webhook-helper';
import { LinearWebhookClient } from '@linear/sdk/webhooks';
import Mux from '@mux/mux-node';
import { signWebhookPayload, verifyWebhookSignature } from '@notionhq/client';
import { sign, verify } from '@octokit/webhooks-methods';
import { encodeSignatureHeader, isValidSignature, SIGNATURE_HEADER_NAME } from '@sanity/webhook';
import { Receiver } from '@upstash/qstash';
import { WorkOS } from '@workos-inc/node';
import { WebhookReceiver } from 'livekit-server-sdk';
import Pusher from 'pusher';
import { WebflowClient } from 'webflow-api';

import { hmac, jwt, sha256 } from '../cases.mjs';

const workos = new WorkOS('sk_sample', { clientId: 'client_sample' });
const pairs = (name, secret, at, body) => ({ [name]: `t=${at},v1=${hmac(secret, `${at}.${body}`)}` });

export const oracles = [
  {
    provider: 'github',
    sdk: '@octokit/webhooks-methods',
    secret: 'sample github',
    sign: async ({ secret, body }) => ({ headers: { 'X-Hub-Signature-256': await sign(secret, body) } }),
    verify: ({ secret, headers, body }) => verify(secret, body, headers['X-Hub-Signature-256']),
    more: ['spaced'],
  },
  {
    provider: 'linear',
    sdk: '@linear/sdk',
    secret: 'lin_wh_sample',
    body: (at) => `{"action":"create","type":"Issue","data":{"id":"1","total":49.9},"webhookTimestamp":${at}000}`,
    sign: ({ secret, body }) => ({ headers: { 'Linear-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) =>
      new LinearWebhookClient(secret).verify(Buffer.from(body), headers['Linear-Signature'], JSON.parse(body).webhookTimestamp),
    cases: ['plain', 'altered body', 'another secret', 'stale'],
  },
  {
    provider: 'workos',
    sdk: '@workos-inc/node',
    secret: 'sample workos',
    sign: ({ secret, at, body }) => ({ headers: { 'WorkOS-Signature': `t=${at}000, v1=${hmac(secret, `${at}000.${body}`)}` } }),
    // It signs the parsed body, written anew.
    verify: ({ secret, headers, body }) =>
      workos.webhooks.verifyHeader({ payload: JSON.parse(body), sigHeader: headers['WorkOS-Signature'], secret }),
    cases: ['plain', 'altered body', 'another secret', 'stale'],
  },
  {
    provider: 'mux',
    sdk: '@mux/mux-node',
    secret: 'sample mux',
    sign: ({ secret, at, body }) => ({ headers: pairs('Mux-Signature', secret, at, body) }),
    verify: async ({ secret, headers, body }) =>
      (await new Mux({ tokenId: 'x', tokenSecret: 'x' }).webhooks.verifySignature(body, headers, secret), true),
    more: ['spaced', 'stale', 'rotated'],
    rotate: (one, other) => ({
      headers: { 'Mux-Signature': `${one.headers['Mux-Signature']},${other.headers['Mux-Signature'].split(',')[1]}` },
    }),
  },
  {
    provider: 'sanity',
    sdk: '@sanity/webhook',
    secret: 'sample sanity',
    sign: async ({ secret, at, body }) => ({ headers: { [SIGNATURE_HEADER_NAME]: await encodeSignatureHeader(body, at * 1000, secret) } }),
    verify: ({ secret, headers, body }) => isValidSignature(body, headers[SIGNATURE_HEADER_NAME], secret),
    more: ['spaced'],
  },
  {
    provider: 'contentful',
    sdk: '@contentful/node-apps-toolkit',
    secret: 'sample contentful secret of sixty-four characters: 0123456789abc',
    otherSecret: 'another contentful secret of sixty-four characters: 0123456789ab',
    url: 'https://hooks.example.com/in/sample?b=2&a=Zo%C3%AB',
    sign: ({ secret, at, url, body }) => {
      const path = url.slice('https://hooks.example.com'.length);
      const headers = { 'Content-Type': 'application/json', 'X-Topic': ' Entry.Save' };
      return { headers: { ...headers, ...signRequest(secret, { method: 'POST', path, headers, body }, at * 1000) } };
    },
    verify: ({ secret, headers, body, url }) =>
      verifyRequest(secret, { method: 'POST', path: url.slice('https://hooks.example.com'.length), headers, body }),
    more: ['spaced', 'stale', 'altered URL'],
  },
  {
    provider: 'livekit',
    sdk: 'livekit-server-sdk',
    secret: 'sample livekit secret of a good length',
    sign: ({ secret, at, body }) => ({
      headers: { Authorization: jwt(secret, { iss: 'APIsample', nbf: at, exp: at + 300, sha256: sha256(body, 'base64') }) },
    }),
    verify: ({ secret, headers, body }) => new WebhookReceiver('APIsample', secret).receive(body, headers.Authorization),
    more: ['spaced', 'stale'],
  },
  {
    provider: 'qstash',
    sdk: '@upstash/qstash',
    secret: 'sig_sample_of_a_good_length_0123456789',
    sign: ({ secret, at, url, body }) => {
      const claims = { iss: 'Upstash', sub: url, iat: at, nbf: at, exp: at + 300, jti: 'jwt_sample', body: sha256(body, 'base64url') };
      return { headers: { 'Upstash-Signature': jwt(secret, claims) } };
    },
    verify: ({ secret, headers, body, url }) =>
      new Receiver({ currentSigningKey: 'another key that holds no longer', nextSigningKey: secret }).verify({
        signature: headers['Upstash-Signature'],
        body,
        url,
      }),
    more: ['spaced', 'empty', 'stale', 'altered URL'],
  },
  {
    provider: 'pusher',
    sdk: 'pusher',
    secret: 'sample pusher',
    sign: ({ secret, body }) => ({
      headers: { 'X-Pusher-Key': 'key', 'X-Pusher-Signature': hmac(secret, body), 'Content-Type': 'application/json' },
    }),
    verify: ({ secret, headers, body }) => {
      const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
      return new Pusher({ appId: '1', key: 'key', secret, cluster: 'eu' }).webhook({ headers: lower, rawBody: body }).isValid();
    },
    more: ['spaced'],
  },
  {
    provider: 'notion',
    sdk: '@notionhq/client',
    secret: 'secret_sample_notion',
    sign: async ({ secret, body }) => ({ headers: { 'X-Notion-Signature': await signWebhookPayload({ body, verificationToken: secret }) } }),
    verify: ({ secret, headers, body }) =>
      verifyWebhookSignature({ body, signature: headers['X-Notion-Signature'], verificationToken: secret }),
    more: ['spaced', 'empty'],
  },
  {
    provider: 'fingerprint',
    sdk: '@fingerprint/node-sdk',
    secret: 'sample fingerprint',
    sign: ({ secret, body }) => ({ headers: { 'FPJS-Event-Signature': `v1=${hmac(secret, body)}` } }),
    verify: ({ secret, headers, body }) =>
      isValidWebhookSignature({ header: headers['FPJS-Event-Signature'], data: Buffer.from(body), secret }),
    more: ['rotated'],
    rotate: (one, other) => ({
      headers: { 'FPJS-Event-Signature': `${one.headers['FPJS-Event-Signature']},${other.headers['FPJS-Event-Signature']}` },
    }),
  },
  {
    provider: 'kontent',
    sdk: '@kontent-ai/webhook-helper',
    secret: 'sample kontent',
    sign: ({ secret, body }) => ({ headers: { 'X-Kontent-ai-Signature': signatureHelper.getHashFromString(body, secret) } }),
    verify: ({ secret, headers, body }) => signatureHelper.isValidSignatureFromString(body, secret, headers['X-Kontent-ai-Signature']),
    more: ['empty'],
  },
  {
    provider: 'webflow',
    sdk: 'webflow-api',
    secret: 'sample webflow',
    sign: ({ secret, at, body }) => ({
      headers: { 'x-webflow-timestamp': `${at}000`, 'x-webflow-signature': hmac(secret, `${at}000:${body}`) },
    }),
    verify: ({ secret, headers, body }) => new WebflowClient({ accessToken: 'x' }).webhooks.verifySignature({ headers, body, secret }),
  },
];
