import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

test("signing out leads back", async ({ device }) => {
  await signIn(device);
  await device.getByText("Settings").tap();
  await device.getByText("Sign out").tap();
  await expect(device.getByText("Welcome to the shop")).toBeVisible();
});
