// Payments.

import Stripe from 'stripe';
import { Environment, Paddle } from '@paddle/paddle-node-sdk';
import Razorpay from 'razorpay';
import { Cashfree } from 'cashfree-pg';
import commerce from 'coinbase-commerce-node';
import * as gocardless from 'gocardless-nodejs';
import ModernTreasury from 'modern-treasury';
import Orb from 'orb-billing';
import { WebhooksHelper } from 'square';
import adyen from '@adyen/api-library';
import solidgate from '@solidgate/node-sdk';

import { hmac } from '../cases.mjs';

const stripe = new Stripe('sk_test_sample');
const paddle = new Paddle('sample', { environment: Environment.sandbox });
const joined = (separator, name) => (one, other) => ({
  headers: { [name]: `${one.headers[name]}${separator}${other.headers[name].split(separator).at(-1)}` },
});

export const oracles = [
  {
    provider: 'stripe',
    sdk: 'stripe',
    secret: 'whsec_sample_stripe',
    sign: ({ secret, at, body }) => ({
      headers: { 'Stripe-Signature': stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }) },
    }),
    verify: ({ secret, headers, body }) => stripe.webhooks.constructEvent(body, headers['Stripe-Signature'], secret),
    more: ['spaced', 'stale', 'rotated'],
    rotate: joined(',', 'Stripe-Signature'),
  },
  {
    provider: 'paddle',
    sdk: '@paddle/paddle-node-sdk',
    secret: 'pdl_ntfset_sample',
    sign: ({ secret, at, body }) => ({ headers: { 'Paddle-Signature': `ts=${at};h1=${hmac(secret, `${at}:${body}`)}` } }),
    verify: ({ secret, headers, body }) => paddle.webhooks.isSignatureValid(body, secret, headers['Paddle-Signature']),
    more: ['spaced', 'stale', 'rotated'],
    rotate: joined(';', 'Paddle-Signature'),
  },
  {
    provider: 'razorpay',
    sdk: 'razorpay',
    secret: 'sample razorpay',
    sign: ({ secret, body }) => ({ headers: { 'X-Razorpay-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) => Razorpay.validateWebhookSignature(body, headers['X-Razorpay-Signature'], secret),
  },
  {
    provider: 'cashfree',
    sdk: 'cashfree-pg',
    secret: 'cfsk_sample',
    sign: ({ secret, at, body }) => ({
      headers: {
        'x-webhook-timestamp': `${at}000`,
        'x-webhook-signature': hmac(secret, `${at}000${body}`, { as: 'base64' }),
      },
    }),
    verify: ({ secret, headers, body }) =>
      new Cashfree(Cashfree.SANDBOX ?? 1, 'id', secret).PGVerifyWebhookSignature(
        headers['x-webhook-signature'],
        body,
        headers['x-webhook-timestamp'],
      ),
    more: ['spaced'],
  },
  {
    provider: 'coinbase-commerce',
    sdk: 'coinbase-commerce-node',
    secret: 'sample commerce',
    body: '{"event":{"id":"1","type":"charge:created","data":{"total":49.9}}}',
    sign: ({ secret, body }) => ({ headers: { 'X-CC-Webhook-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) => commerce.Webhook.verifySigHeader(body, headers['X-CC-Webhook-Signature'], secret),
  },
  {
    provider: 'gocardless',
    sdk: 'gocardless-nodejs',
    secret: 'sample gocardless',
    body: '{"events":[{"id":"EV1","resource_type":"payments","action":"created","amount":49.9}]}',
    sign: ({ secret, body }) => ({ headers: { 'Webhook-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) => (gocardless.verifySignature(body, secret, headers['Webhook-Signature']), true),
    more: ['spaced'],
  },
  {
    provider: 'modern-treasury',
    sdk: 'modern-treasury',
    secret: 'sample treasury',
    sign: async ({ secret, body }) => ({ headers: { 'X-Signature': hmac(secret, body) } }),
    verify: ({ secret, headers, body }) =>
      new ModernTreasury({ apiKey: 'x', organizationID: 'x', webhookKey: secret }).webhooks.validateSignature(body, headers['X-Signature']),
    more: ['spaced'],
  },
  {
    provider: 'orb',
    sdk: 'orb-billing',
    secret: 'sample orb',
    // Orb's timestamp has no zone: it is in UTC.
    sign: ({ secret, at, body }) => {
      const time = new Date(at * 1000).toISOString().replace('Z', '');
      return { headers: { 'X-Orb-Timestamp': time, 'X-Orb-Signature': `v1=${hmac(secret, `v1:${time}:${body}`)}` } };
    },
    verify: ({ secret, headers, body }) => (new Orb({ apiKey: 'x' }).webhooks.verifySignature(body, headers, secret), true),
    more: ['stale', 'rotated'],
    rotate: (one, other) => ({
      headers: { ...other.headers, 'X-Orb-Signature': `${one.headers['X-Orb-Signature']} ${other.headers['X-Orb-Signature']}` },
    }),
  },
  {
    provider: 'square',
    sdk: 'square',
    secret: 'sample square',
    sign: ({ secret, url, body }) => ({ headers: { 'x-square-hmacsha256-signature': hmac(secret, url + body, { as: 'base64' }) } }),
    verify: ({ secret, headers, body, url }) =>
      WebhooksHelper.verifySignature({
        requestBody: body,
        signatureHeader: headers['x-square-hmacsha256-signature'],
        signatureKey: secret,
        notificationUrl: url,
      }),
    more: ['spaced', 'altered URL'],
  },
  {
    provider: 'adyen-platform',
    sdk: '@adyen/api-library',
    secret: '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056',
    sign: ({ secret, body }) => ({ headers: { HmacSignature: new adyen.hmacValidator().calculateHmac(body, secret) } }),
    verify: ({ secret, headers, body }) => new adyen.hmacValidator().validateHMACSignature(secret, headers.HmacSignature, body),
    more: ['spaced'],
  },
  {
    provider: 'solidgate',
    sdk: '@solidgate/node-sdk',
    secret: 'wh_sk_sample',
    config: { public_key: 'wh_pk_sample' },
    sign: ({ secret, body }) => ({ headers: { signature: new solidgate.Api('wh_pk_sample', secret)._generateSignature(body) } }),
    verify: ({ secret, headers, body }) => headers.signature === new solidgate.Api('wh_pk_sample', secret)._generateSignature(body),
  },
];
