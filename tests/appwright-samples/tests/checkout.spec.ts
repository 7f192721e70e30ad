import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

// Fails: the app declines every card.
test("an order is placed", async ({ device }) => {
  await signIn(device);
  await device.getByText("Backpack").tap();
  await device.getByText("Add to cart").tap();
  await device.getByText("Check out").tap();
  await expect(device.getByText("Thank you")).toBeVisible();
});
