// Standard Webhooks, Svix, and those that send as they do.

import { verifyWebhook } from '@clerk/backend/webhooks';
import { WebhookHandler } from '@liveblocks/node';
import DodoPayments from 'dodopayments';
import Finch from '@tryfinch/finch-api';
import Lithic from 'lithic';
import OpenAI from 'openai';
import { validateEvent } from '@polar-sh/sdk/webhooks.js';
import { validateWebhook } from 'replicate';
import { Resend } from 'resend';
import Surge from '@surgeapi/node';
import { Webhook } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

import { hmac } from '../cases.mjs';

const ID = 'msg_sample';
const SECRET = 'whsec_c2FtcGxlIHNlY3JldCBvZiAyNCBieXRlcw==';
const OTHER = 'whsec_YW5vdGhlciBzZWNyZXQgb2YgMjQgYnl0ZQ==';

const headers = (prefix, at, signature) => ({
  [`${prefix}-id`]: ID,
  [`${prefix}-timestamp`]: `${at}`,
  [`${prefix}-signature`]: signature,
});

/** Signed by the specification's own SDK, judged by the provider's. */
const standard = (provider, sdk, verify, { prefix = 'webhook', more = ['stale'], ...rest } = {}) => ({
  provider,
  sdk,
  secret: SECRET,
  otherSecret: OTHER,
  sign: ({ secret, at, body }) => ({ headers: headers(prefix, at, new Webhook(secret).sign(ID, new Date(at * 1000), body)) }),
  verify: async (request) => ((await verify(request)), true),
  more,
  rotate: (one, other) => {
    const name = `${prefix}-signature`;
    return { headers: { ...other.headers, [name]: `${one.headers[name]} v1a,c2FtcGxl ${other.headers[name]}` } };
  },
  ...rest,
});

const ALL = ['spaced', 'stale', 'rotated'];

export const oracles = [
  standard('standard-webhooks', 'standardwebhooks', ({ secret, headers, body }) => new Webhook(secret).verify(body, headers), { more: ALL }),
  standard('svix', 'svix', ({ secret, headers, body }) => new Svix(secret).verify(body, headers), { prefix: 'svix', more: ALL }),
  standard('svix', 'svix', ({ secret, headers, body }) => new Svix(secret).verify(body, headers), { more: ['rotated'] }),
  standard(
    'clerk',
    '@clerk/backend',
    ({ secret, headers, body, url }) =>
      verifyWebhook(new Request(url, { method: 'POST', headers, body }), { signingSecret: secret }),
    { prefix: 'svix', more: ALL },
  ),
  standard('resend', 'resend', ({ secret, headers, body }) => {
    const { 'svix-id': id, 'svix-timestamp': timestamp, 'svix-signature': signature } = headers;
    return new Resend('re_sample').webhooks.verify({ payload: body, headers: { id, timestamp, signature }, webhookSecret: secret });
  }, { prefix: 'svix', more: ALL }),
  standard('openai', 'openai', ({ secret, headers, body }) => new OpenAI({ apiKey: 'x' }).webhooks.unwrap(body, headers, secret), { more: ALL }),
  standard('liveblocks', '@liveblocks/node', ({ secret, headers, body }) =>
    new WebhookHandler(secret).verifyRequest({ headers, rawBody: body }),
    { body: '{"type":"roomCreated","data":{"projectId":"p","roomId":"r","createdAt":"2025-10-09T08:53:20Z","total":49.9}}', cases: ['plain', 'altered body', 'another secret', 'stale', 'rotated'] },
  ),
  standard('lithic', 'lithic', ({ secret, headers, body }) => new Lithic({ apiKey: 'x' }).webhooks.verifySignature(body, headers, secret), { more: ALL }),
  standard('surge', '@surgeapi/node', ({ secret, headers, body }) =>
    new Surge({ apiKey: 'x' }).webhooks.unwrap(body, { headers, key: secret }), { more: ALL }),
  standard('dodo-payments', 'dodopayments', ({ secret, headers, body }) =>
    new DodoPayments({ bearerToken: 'x' }).webhooks.unwrap(body, { headers, key: secret }), { more: ALL }),
  {
    ...standard('replicate', 'replicate', () => {}, { more: ['spaced'] }),
    verify: ({ secret, headers, body }) => validateWebhook({ headers, body }, secret),
  },
  {
    // Polar's secret is the key as it stands; its SDK encodes it for the specification's.
    ...standard('polar', '@polar-sh/sdk', ({ secret, headers, body }) => {
      try {
        return validateEvent(body, headers, secret);
      } catch (error) {
        // The signature held, and the type of the sample is none of Polar's.
        if (error.constructor.name === 'WebhookVerificationError') throw error;
      }
    }),
    secret: 'polar_whs_sample',
    otherSecret: 'polar_whs_other',
    sign: ({ secret, at, body }) => ({ headers: headers('webhook', at, `v1,${hmac(secret, `${ID}.${at}.${body}`, { as: 'base64' })}`) }),
    more: ALL,
  },
  {
    // Finch's own header names, and a secret in base64 without the prefix.
    ...standard('finch', '@tryfinch/finch-api', ({ secret, headers, body }) =>
      new Finch({ clientID: 'x', clientSecret: 'x' }).webhooks.verifySignature(body, headers, secret)),
    secret: SECRET.slice('whsec_'.length),
    otherSecret: OTHER.slice('whsec_'.length),
    sign: ({ secret, at, body }) => ({
      headers: {
        'Finch-Event-Id': ID,
        'Finch-Timestamp': `${at}`,
        'Finch-Signature': `v1,${hmac(Buffer.from(secret, 'base64'), `${ID}.${at}.${body}`, { as: 'base64' })}`,
      },
    }),
    more: ['spaced', 'stale', 'rotated'],
    rotate: (one, other) => ({
      headers: { ...other.headers, 'Finch-Signature': `${one.headers['Finch-Signature']} ${other.headers['Finch-Signature']}` },
    }),
  },
];
