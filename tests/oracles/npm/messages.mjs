// Messages, calls and mail.

import { createECDH, createPrivateKey, createPublicKey, sign as signWith } from 'node:crypto';
import { createRequire } from 'node:module';
import { parse } from 'node:querystring';

import { verifySignature } from '@vonage/jwt';
import { Crisp } from 'crisp-api';
import { verifyKey } from 'discord-interactions';
import { validateSignature } from '@line/bot-sdk';
import messagebird from 'messagebird/lib/webhook-signature-jwt.js';
import plivo from 'plivo';
import { EventWebhook } from '@sendgrid/eventwebhook';
import Telnyx from 'telnyx';
import twilio from 'twilio';

import { hmac, jwt, sha256 } from '../cases.mjs';

// Its index asks for packages of sockets that nothing here needs.
const slack = createRequire(import.meta.url)('@slack/bolt/dist/receivers/verify-request.js');

/** The Ed25519 key of this seed: RFC 8410's PKCS#8. */
const ed25519 = (seed) => {
  const der = Buffer.from(`302e020100300506032b657004220420${sha256(seed)}`, 'hex');
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
};
const raw = (seed) => createPublicKey(ed25519(seed)).export({ format: 'der', type: 'spki' }).subarray(-32);

/** The P-256 key of this seed. */
const p256 = (seed) => {
  const d = Buffer.from(sha256(seed), 'hex');
  const pair = createECDH('prime256v1');
  pair.setPrivateKey(d);
  const [x, y] = [pair.getPublicKey().subarray(1, 33), pair.getPublicKey().subarray(33)].map((part) => part.toString('base64url'));
  return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', d: d.toString('base64url'), x, y }, format: 'jwk' });
};
const spki = (seed) => createPublicKey(p256(seed)).export({ format: 'der', type: 'spki' }).toString('base64');

const FORM = 'CallSid=CA1&Digits=1234&From=%2B14155551234&Name=Zo%C3%AB+%E6%97%A5&Total=49.9';
const form = (body) => Object.fromEntries(new URLSearchParams(body));

export const oracles = [
  {
    provider: 'slack',
    sdk: '@slack/bolt',
    secret: 'sample slack signing secret',
    sign: ({ secret, at, body }) => ({
      headers: { 'X-Slack-Request-Timestamp': `${at}`, 'X-Slack-Signature': `v0=${hmac(secret, `v0:${at}:${body}`)}` },
    }),
    verify: ({ secret, headers, body }) =>
      slack.isValidSlackRequest({
        signingSecret: secret,
        body,
        headers: {
          'x-slack-signature': headers['X-Slack-Signature'],
          'x-slack-request-timestamp': Number(headers['X-Slack-Request-Timestamp']),
        },
      }),
    more: ['spaced', 'stale'],
  },
  {
    provider: 'twilio',
    sdk: 'twilio',
    secret: 'sample twilio token',
    body: FORM,
    sign: ({ secret, url, body }) => ({
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded',
        'X-Twilio-Signature': twilio.getExpectedTwilioSignature(secret, url, form(body)),
      },
    }),
    verify: ({ secret, headers, body, url }) => twilio.validateRequest(secret, headers['X-Twilio-Signature'], url, form(body)),
    cases: ['plain', 'altered body', 'altered URL', 'another secret'],
  },
  {
    provider: 'twilio-json',
    sdk: 'twilio',
    secret: 'sample twilio token',
    sign: ({ secret, url, body }) => {
      const whole = `${url}&bodySHA256=${twilio.getExpectedBodyHash(body)}`;
      return { url: whole, headers: { 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(secret, whole, {}) } };
    },
    verify: ({ secret, headers, body, url }) => twilio.validateRequestWithBody(secret, headers['X-Twilio-Signature'], url, body),
    more: ['spaced', 'altered URL'],
  },
  {
    provider: 'plivo-legacy',
    sdk: 'plivo',
    secret: 'sample plivo token',
    sign: ({ secret, url }) => ({
      headers: {
        'X-Plivo-Signature-V2': hmac(secret, `${url.split('?')[0]}05429567804466091622`, { as: 'base64' }),
        'X-Plivo-Signature-V2-Nonce': '05429567804466091622',
      },
    }),
    verify: ({ secret, headers, url }) =>
      plivo.validateSignature(url, headers['X-Plivo-Signature-V2-Nonce'], headers['X-Plivo-Signature-V2'], secret),
    cases: ['plain', 'another secret'],
  },
  {
    provider: 'plivo',
    sdk: 'plivo',
    secret: 'sample plivo token',
    url: 'https://hooks.example.com/in/sample?b=2&a=x%20y',
    body: 'To=15551234&From=15554321&Text=Zo%C3%AB+%F0%9F%AA%9D&To=15550000',
    sign: ({ secret, url, body }) => {
      const sorted = (text, between) => [...new URLSearchParams(text)].map((pair) => pair.join(between)).sort();
      const [base, query] = url.split('?');
      const message = `${base}?${sorted(query, '=').join('&')}.${sorted(body, '').join('')}.05429567804466091622`;
      return {
        headers: {
          'Content-Type': 'application/x-www-form-urlencoded',
          'X-Plivo-Signature-V3': `b2xk,${hmac(secret, message, { as: 'base64' })}`,
          'X-Plivo-Signature-V3-Nonce': '05429567804466091622',
        },
      };
    },
    verify: ({ secret, headers, url, body }) =>
      plivo.validateV3Signature(
        'POST', url, headers['X-Plivo-Signature-V3-Nonce'], secret, headers['X-Plivo-Signature-V3'], parse(body),
      ),
    cases: ['plain', 'another secret', 'altered URL'],
  },
  {
    provider: 'line',
    sdk: '@line/bot-sdk',
    secret: 'sample line channel secret',
    sign: ({ secret, body }) => ({ headers: { 'x-line-signature': hmac(secret, body, { as: 'base64' }) } }),
    verify: ({ secret, headers, body }) => validateSignature(body, secret, headers['x-line-signature']),
    more: ['spaced', 'empty'],
  },
  {
    provider: 'discord',
    sdk: 'discord-interactions',
    secret: 'sample discord',
    shown: (seed) => raw(seed).toString('hex'),
    sign: ({ secret, at, body }) => ({
      headers: {
        'X-Signature-Timestamp': `${at}`,
        'X-Signature-Ed25519': signWith(null, Buffer.from(at + body), ed25519(secret)).toString('hex'),
      },
    }),
    verify: ({ secret, headers, body }) =>
      verifyKey(body, headers['X-Signature-Ed25519'], headers['X-Signature-Timestamp'], raw(secret).toString('hex')),
    more: ['spaced'],
  },
  {
    provider: 'telnyx',
    sdk: 'telnyx',
    secret: 'sample telnyx',
    shown: (seed) => raw(seed).toString('base64'),
    sign: ({ secret, at, body }) => ({
      headers: {
        'telnyx-timestamp': `${at}`,
        'telnyx-signature-ed25519': signWith(null, Buffer.from(`${at}|${body}`), ed25519(secret)).toString('base64'),
      },
    }),
    verify: ({ secret, headers, body }) =>
      new Telnyx({ apiKey: 'x' }).webhooks.unwrap(body, { headers, key: raw(secret).toString('base64') }),
    more: ['spaced', 'stale'],
  },
  {
    provider: 'sendgrid',
    sdk: '@sendgrid/eventwebhook',
    secret: 'sample sendgrid',
    shown: spki,
    sign: ({ secret, at, body }) => ({
      headers: {
        'X-Twilio-Email-Event-Webhook-Timestamp': `${at}`,
        'X-Twilio-Email-Event-Webhook-Signature': signWith('sha256', Buffer.from(at + body), p256(secret)).toString('base64'),
      },
    }),
    verify: ({ secret, headers, body }) => {
      const webhook = new EventWebhook();
      const signature = headers['X-Twilio-Email-Event-Webhook-Signature'];
      const timestamp = headers['X-Twilio-Email-Event-Webhook-Timestamp'];
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(spki(secret)), body, signature, timestamp);
    },
    more: ['spaced'],
  },
  {
    provider: 'messagebird',
    sdk: 'messagebird',
    secret: 'sample messagebird',
    sign: ({ secret, at, url, body }) => ({
      headers: {
        'MessageBird-Signature-JWT': jwt(secret, {
          iss: 'MessageBird',
          nbf: at,
          exp: at + 60,
          jti: 'sample',
          url_hash: sha256(url),
          ...(body && { payload_hash: sha256(body) }),
        }),
      },
    }),
    verify: async ({ secret, headers, body, url }) =>
      (await messagebird.verify(url, Buffer.from(body), headers['MessageBird-Signature-JWT'], Buffer.from(secret)), true),
    more: ['empty', 'stale', 'altered URL'],
  },
  {
    provider: 'vonage',
    sdk: '@vonage/jwt',
    secret: 'sample vonage signature secret of a good length',
    sign: ({ secret, at, body }) => ({
      headers: { Authorization: `Bearer ${jwt(secret, { iss: 'Vonage', iat: at, jti: 'sample', payload_hash: sha256(body) })}` },
    }),
    // Its documentation has the receiver compare the hash.
    verify: ({ secret, headers, body }) => {
      const token = headers.Authorization.slice('Bearer '.length);
      const { payload_hash: hash } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
      return verifySignature(token, secret) && hash === sha256(body);
    },
  },
  {
    provider: 'crisp',
    sdk: 'crisp-api',
    secret: 'sample crisp',
    sign: ({ secret, at, body }) => ({
      headers: { 'X-Crisp-Request-Timestamp': `${at}000`, 'X-Crisp-Signature': hmac(secret, `[${at}000;${body}]`) },
    }),
    // It writes the body anew, and Crisp sends it as JavaScript writes it.
    verify: ({ secret, headers, body }) =>
      new Crisp().verifyWidget(secret, JSON.parse(body), headers['X-Crisp-Request-Timestamp'], headers['X-Crisp-Signature']),
    cases: ['plain', 'altered body', 'another secret'],
  },
];
