// Proofs that stand in a field of the body.

import { EventCallbackHelper } from '@dropbox/sign';
import adyen from '@adyen/api-library';
import braintree from 'braintree';

import { hmac } from '../cases.mjs';

const KEY = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';
const hooks = new adyen.hmacValidator();

/** An Adyen item with everything that is signed, and characters that its separator is made of. */
const item = (reference) => ({
  pspReference: reference,
  originalReference: '',
  merchantAccountCode: 'Sample:Merchant\\',
  merchantReference: 'Zoë 日本',
  amount: { value: 4990, currency: 'EUR' },
  eventCode: 'AUTHORISATION',
  success: 'true',
});

const gateway = (privateKey) =>
  new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey: 'public_sample', privateKey });

export const oracles = [
  {
    provider: 'adyen',
    sdk: '@adyen/api-library',
    secret: KEY,
    sign: ({ secret }) => {
      const items = ['7914073381342284', '8825408195409505'].map(item);
      const signed = items.map((one) => ({ ...one, additionalData: { hmacSignature: hooks.calculateHmac(one, secret) } }));
      const notificationItems = signed.map((NotificationRequestItem) => ({ NotificationRequestItem }));
      return { headers: {}, body: JSON.stringify({ live: 'false', notificationItems, note: 49.9 }).replace('"4990"', '4990') };
    },
    verify: ({ secret, body }) =>
      JSON.parse(body).notificationItems.every((one) => hooks.validateHMAC(one.NotificationRequestItem, secret)),
    cases: ['plain', 'another secret'],
  },
  {
    provider: 'dropbox-sign',
    sdk: '@dropbox/sign',
    secret: 'sample sign api key',
    sign: ({ secret, at }) => {
      const event = { event_type: 'signature_request_sent', event_time: `${at}` };
      return { headers: {}, body: JSON.stringify({ event: { ...event, event_hash: hmac(secret, event.event_time + event.event_type) } }) };
    },
    verify: ({ secret, body }) => {
      const { event } = JSON.parse(body);
      const known = { eventTime: event.event_time, eventType: event.event_type, eventHash: event.event_hash };
      return EventCallbackHelper.isValid(secret, { event: known });
    },
    cases: ['plain', 'another secret'],
  },
  {
    provider: 'braintree',
    sdk: 'braintree',
    secret: 'private_sample',
    config: { public_key: 'public_sample' },
    sign: ({ secret }) => {
      const { bt_signature, bt_payload } = gateway(secret).webhookTesting.sampleNotification('subscription_went_past_due', 'sample');
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      return { headers, body: new URLSearchParams({ bt_signature, bt_payload }).toString() };
    },
    verify: async ({ secret, body }) => {
      const form = new URLSearchParams(body);
      return await gateway(secret).webhookNotification.parse(form.get('bt_signature'), form.get('bt_payload'));
    },
    cases: ['plain', 'another secret'],
  },
];
