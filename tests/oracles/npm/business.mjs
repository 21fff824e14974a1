// What companies sell, sign, ship and ask.

import EasyPost from '@easypost/api';
import { ElevenLabsClient } from '@elevenlabs/elevenlabs-js';
import { Signature } from '@hubspot/api-client';
import { WebhookEventVerifier } from '@onfido/api';
import { shopifyApi } from '@shopify/shopify-api';
import '@shopify/shopify-api/adapters/node';
import { WebhooksManager } from 'box-node-sdk/managers/webhooks';
import cloudinary from 'cloudinary';
import { WebhookSignatureValidator } from 'mercadopago';
import Retell from 'retell-sdk';
import smartcar from 'smartcar';

import { hmac } from '../cases.mjs';

const shopify = (secret) =>
  shopifyApi({
    apiKey: 'sample',
    apiSecretKey: secret,
    apiVersion: '2025-10',
    hostName: 'hooks.example.com',
    isEmbeddedApp: false,
    logger: { log: () => {} },
  });

const cld = (secret) => (cloudinary.v2.config({ api_secret: secret }), cloudinary.v2.utils);

export const oracles = [
  {
    provider: 'shopify',
    sdk: '@shopify/shopify-api',
    secret: 'sample shopify',
    sign: ({ secret, body }) => ({
      headers: {
        'X-Shopify-Hmac-Sha256': hmac(secret, body, { as: 'base64' }),
        'X-Shopify-Topic': 'orders/create',
        'X-Shopify-Shop-Domain': 'sample.myshopify.com',
        'X-Shopify-API-Version': '2025-10',
        'X-Shopify-Webhook-Id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
      },
    }),
    verify: async ({ secret, headers, body }) =>
      (await shopify(secret).webhooks.validate({ rawBody: body, rawRequest: { method: 'POST', url: '/', headers } })).valid,
    more: ['spaced'],
  },
  {
    provider: 'hubspot',
    sdk: '@hubspot/api-client',
    secret: 'sample hubspot',
    sign: ({ secret, at, url, body }) => ({
      headers: {
        'X-HubSpot-Request-Timestamp': `${at}000`,
        'X-HubSpot-Signature-v3': hmac(secret, `POST${decodeURIComponent(url)}${body}${at}000`, { as: 'base64' }),
      },
    }),
    verify: ({ secret, headers, body, url }) =>
      Signature.isValid({
        signatureVersion: 'v3',
        signature: headers['X-HubSpot-Signature-v3'],
        method: 'POST',
        clientSecret: secret,
        requestBody: body,
        url,
        timestamp: Number(headers['X-HubSpot-Request-Timestamp']),
      }),
    more: ['spaced', 'empty', 'stale', 'altered URL'],
  },
  {
    provider: 'onfido',
    sdk: '@onfido/api',
    secret: 'sample onfido token',
    sign: ({ secret, body }) => ({ headers: { 'X-SHA2-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) => new WebhookEventVerifier(secret).readPayload(body, headers['X-SHA2-Signature']),
    more: ['spaced'],
  },
  {
    provider: 'mercadopago',
    sdk: 'mercadopago',
    secret: 'sample mercadopago',
    url: 'https://hooks.example.com/in/sample?data.id=ORD01JQ4S4KY8HWQ6NA5PXB65B3D3&type=order',
    sign: ({ secret, at, url }) => {
      const id = new URL(url).searchParams.get('data.id');
      const manifest = `id:${id};request-id:sample-request;ts:${at};`;
      return { headers: { 'x-signature': `ts=${at},v1=${hmac(secret, manifest)}`, 'x-request-id': 'sample-request' } };
    },
    verify: ({ secret, headers, url }) => {
      const dataId = new URL(url).searchParams.get('data.id');
      WebhookSignatureValidator.validate({ xSignature: headers['x-signature'], xRequestId: headers['x-request-id'], dataId, secret });
    },
    cases: ['plain', 'another secret'],
  },
  {
    provider: 'box',
    sdk: 'box-node-sdk',
    secret: 'sample box',
    sign: ({ secret, at, body }) => {
      const time = new Date(at * 1000).toISOString().replace('.000Z', '-00:00');
      return {
        headers: {
          'box-delivery-timestamp': time,
          'box-signature-version': '1',
          'box-signature-algorithm': 'HmacSHA256',
          'box-signature-primary': hmac(secret, body + time, { as: 'base64' }),
          'box-signature-secondary': hmac('the second key', body + time, { as: 'base64' }),
        },
      };
    },
    verify: ({ secret, headers, body }) => WebhooksManager.validateMessage(body, headers, secret),
    more: ['stale'],
  },
  {
    provider: 'retell',
    sdk: 'retell-sdk',
    secret: 'key_sample_retell',
    sign: ({ secret, at, body }) => ({ headers: { 'X-Retell-Signature': `v=${at}000,d=${hmac(secret, `${body}${at}000`)}` } }),
    verify: ({ secret, headers, body }) => Retell.verify(body, secret, headers['X-Retell-Signature']),
    more: ['spaced', 'empty', 'stale'],
  },
  {
    provider: 'elevenlabs',
    sdk: '@elevenlabs/elevenlabs-js',
    secret: 'wsec_sample',
    sign: ({ secret, at, body }) => ({ headers: { 'ElevenLabs-Signature': `t=${at},v0=${hmac(secret, `${at}.${body}`)}` } }),
    verify: ({ secret, headers, body }) =>
      new ElevenLabsClient({ apiKey: 'x' }).webhooks.constructEvent(body, headers['ElevenLabs-Signature'], secret),
    more: ['spaced', 'stale'],
  },
  {
    provider: 'smartcar',
    sdk: 'smartcar',
    secret: 'sample application management token',
    sign: ({ secret, body }) => ({ headers: { 'SC-Signature': smartcar.hashChallenge(secret, body) } }),
    verify: ({ secret, headers, body }) => smartcar.verifyPayload(secret, headers['SC-Signature'], JSON.parse(body)),
    cases: ['plain', 'altered body', 'another secret'],
  },
  {
    provider: 'cloudinary',
    sdk: 'cloudinary',
    secret: 'sample cloudinary',
    sign: ({ secret, at, body }) => ({
      headers: { 'X-Cld-Timestamp': `${at}`, 'X-Cld-Signature': cld(secret).webhook_signature(body, at, { api_secret: secret }) },
    }),
    verify: ({ secret, headers, body }) =>
      cld(secret).verifyNotificationSignature(body, Number(headers['X-Cld-Timestamp']), headers['X-Cld-Signature']),
    more: ['spaced'],
  },
  {
    provider: 'easypost',
    sdk: '@easypost/api',
    // It is normalised (NFKD) before it becomes the key.
    secret: 'sécret of EasyPost',
    sign: ({ secret, body }) => ({
      headers: { 'X-Hmac-Signature': `hmac-sha256-hex=${hmac(secret.normalize('NFKD'), body)}` },
    }),
    verify: ({ secret, headers, body }) => new EasyPost('x').Utils.validateWebhook(Buffer.from(body), headers, secret),
  },
];
